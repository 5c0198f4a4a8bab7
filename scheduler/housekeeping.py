"""Housekeeping: what the leader does now and then, in the background, without hurry."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from scheduler.leadership import Leadership, LockKey
from scheduler.retention import Retention
from scheduler.vacuuming import Vacuuming

#: How often a scheduler that does not lead looks whether it could.
FOLLOWER_PAUSE_S: Final = 5.0


class Housekeeping:
    """Retention and vacuuming, on one connection."""

    name = "housekeeping"
    #: A batch that a slow disk holds up is not an outage.
    session = ("SET statement_timeout = '60s'", "SET synchronous_commit = off", "SET jit = off")

    def __init__(self, retention: Retention, vacuuming: Vacuuming) -> None:
        self._retention = retention
        self._vacuuming = vacuuming
        self._leadership = Leadership(LockKey.HOUSEKEEPING)

    def step(self, connection: Connection[TupleRow]) -> float:
        """Do one small piece of each, if this scheduler leads."""
        if not self._leadership.is_held(connection):
            return FOLLOWER_PAUSE_S
        return min(self._retention.work(connection), self._vacuuming.work(connection))

    def forget(self) -> None:
        """The lock is gone."""
        self._leadership.forget()

    def leave(self, connection: Connection[TupleRow]) -> None:
        """Nothing to do: the lock goes with the connection."""

    def close(self) -> None:
        """Nothing is open."""
