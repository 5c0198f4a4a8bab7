"""Which code can work on a schema that is newer than itself: each revision says it, and the database keeps it.

It is kept as a comment on alembic_version, so that code which was made before the revision can read it.
"""

from types import ModuleType
from typing import Final

from core.migrations import SCHEMA_REVISION

_PREFIX: Final = "works with code of revision "


def compatibility_comment(revision: ModuleType) -> str:
    """Return what the database shall keep. The first release's revisions say nothing: they need code that knows them."""
    return _PREFIX + str(getattr(revision, "oldest_code", revision.revision))


def is_compatible(revision: str, comment: str | None) -> bool:
    """Tell whether this code can work on a newer schema of that revision, which has that comment."""
    if comment is None or not comment.startswith(_PREFIX):
        return False
    return comment.removeprefix(_PREFIX) <= SCHEMA_REVISION <= revision
