"""Expiry: jobs that were not started in time are revoked."""

from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.events import Event
from core.queries import load_query

_EXPIRE: Final = load_query("scheduler", "expire")

BATCH_SIZE: Final = 1000

log = structlog.get_logger()


def revoke_expired(connection: Connection[TupleRow]) -> int:
    """Revoke a batch of jobs whose time is over; return how many. A claim refuses them already."""
    count = len(connection.execute(_EXPIRE, {"limit": BATCH_SIZE}).fetchall())
    if count:
        log.info(Event.JOBS_EXPIRED, count=count)
    return count
