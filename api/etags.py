"""Versions of a job, as entity tags and as ids of events (RFC 9110, section 8.8.3)."""

import re
from hashlib import blake2b
from typing import Final

from api.bodies import Headers
from api.reading import StatusRow

_TAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_DIGEST_BYTES: Final = 9


def version(row: StatusRow) -> str:
    """Return what is the same as long as the job stands where it stands, from whichever replica.

    Made of all that can change. An attempt's end, which the log of a job shows, changes status or number of attempts, and
    its start the time. There is no order: the present state is the newest.
    """
    moments = [None if moment is None else moment.timestamp() for moment in (row.started_at, row.finished_at)]
    changing = (row.status, row.attempts, row.error, row.progress, *moments)
    return blake2b(repr(changing).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def entity_tag(text: str) -> str:
    """Return a strong entity tag."""
    return f'"{text}"'


def has_tag(headers: Headers, tag: str) -> bool:
    """Tell whether If-None-Match names this tag, or any (RFC 9110, section 13.1.2: the comparison is weak)."""
    for name, value in headers:
        if name == b"if-none-match":
            content = value.decode("latin-1").strip()
            if content == "*" or tag in _TAG.findall(content):
                return True
    return False
