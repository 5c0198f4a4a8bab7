"""A later version of the code: the present one and one more revision of the schema."""

import shutil
from pathlib import Path
from typing import Final

from core.migrations import SCHEMA_REVISION
from tests.stack import ROOT

LATER_REVISION: Final = f"{int(SCHEMA_REVISION) + 1:04}"

_PYTHON: Final = '''"""One more."""
from core.migrations.sql_file import run_sql_file

revision = "{revision}"
down_revision = "{before}"
oldest_code = "{oldest_code}"


def upgrade() -> None:
    """Apply it."""
    run_sql_file(__file__)
'''


def make_later_code(directory: Path, sql: str, oldest_code: str = SCHEMA_REVISION) -> Path:
    """Write core/ as it may be one release later into directory, and return what has to come first in PYTHONPATH."""
    shutil.copytree(ROOT / "core", directory / "core", ignore=shutil.ignore_patterns("__pycache__"))
    head = directory / "core" / "migrations" / "__init__.py"
    head.write_text(head.read_text().replace(f'"{SCHEMA_REVISION}"', f'"{LATER_REVISION}"'))
    script = directory / "core" / "migrations" / "versions" / f"{LATER_REVISION}_later.py"
    script.write_text(_PYTHON.format(revision=LATER_REVISION, before=SCHEMA_REVISION, oldest_code=oldest_code))
    script.with_suffix(".sql").write_text(sql)
    return directory
