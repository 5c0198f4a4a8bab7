"""One of several schedulers does what must not be done twice at the same time: the one that holds an advisory lock.

The lock belongs to the session, so it is free again when its holder's connection dies (PostgreSQL documentation, 13.3.5).
"""

from enum import IntEnum
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%(key)s)"


class LockKey(IntEnum):
    """Advisory locks of the scheduler. Any numbers will do, as long as nobody else uses them in this database."""

    RESCUE = 7_420_101
    HOUSEKEEPING = 7_420_102


class Leadership:
    """Whether this scheduler leads one duty. Must forget when the connection is lost."""

    def __init__(self, key: LockKey) -> None:
        self._key = key
        self._is_held = False

    def is_held(self, connection: Connection[TupleRow]) -> bool:
        """Take the lock if it is free; return whether it is ours."""
        if not self._is_held:
            row = connection.execute(_TRY_LOCK, {"key": int(self._key)}).fetchone()
            self._is_held = bool(row and row[0])
        return self._is_held

    def forget(self) -> None:
        """The connection is gone, and the lock with it."""
        self._is_held = False
