"""Retention: finished jobs and idempotency keys are kept for a while and then deleted, in small batches."""

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.events import Event
from core.queries import load_query
from scheduler.budget import Budget

_DELETE_FINISHED: Final = load_query("scheduler", "delete_finished")
_DELETE_EXPIRED_KEYS: Final = load_query("scheduler", "delete_expired_keys")

BATCH_SIZE: Final = 1000
#: Between batches at least this, and at least as long as the batch took: half of the time is left to others.
SHORTEST_PAUSE_S: Final = 0.05
#: A walk reads the old jobs that cannot be deleted yet (delayed for weeks) again, so it is rare when that costs much.
WALK_INTERVAL_S: Final = 60.0
WALK_SHARE: Final = 0.01

_BEFORE_ALL: Final = UUID(int=0)

log = structlog.get_logger()


class Retention:
    """Walks through the old jobs about once a minute, a batch at a time, and deletes expired keys alongside."""

    def __init__(self, retention_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._retention_s = retention_s
        self._clock = clock
        self._budget = Budget(WALK_SHARE, shortest_pause_s=WALK_INTERVAL_S)
        self._after = _BEFORE_ALL
        self._deleted = 0
        self._walk_cost_s = 0.0

    def work(self, connection: Connection[TupleRow]) -> float:
        """Do one batch if it is time to; return the seconds until the next one."""
        if not self._budget.allows(self._clock()):
            return self._budget.pause_s(self._clock())
        started_at = self._clock()
        keys = self._delete_keys(connection)
        is_at_end = self._delete_jobs(connection)
        cost_s = self._clock() - started_at
        self._walk_cost_s += cost_s
        if is_at_end and keys < BATCH_SIZE:
            self._end_walk()
            return self._budget.pause_s(self._clock())
        return max(SHORTEST_PAUSE_S, cost_s)

    def _delete_keys(self, connection: Connection[TupleRow]) -> int:
        row = connection.execute(_DELETE_EXPIRED_KEYS, {"limit": BATCH_SIZE}).fetchone()
        return int(row[0]) if row else 0

    def _delete_jobs(self, connection: Connection[TupleRow]) -> bool:
        """Delete what is over among the next old jobs; return whether there are no more."""
        parameters = {"after": self._after, "retention_s": self._retention_s, "limit": BATCH_SIZE}
        row = connection.execute(_DELETE_FINISHED, parameters).fetchone()
        last, deleted = row or (None, 0)
        self._deleted += deleted
        if last is None:
            return True
        self._after = last
        return False

    def _end_walk(self) -> None:
        if self._deleted:
            log.info(Event.JOBS_DELETED, count=self._deleted)
        self._budget.spend(self._clock(), self._walk_cost_s)
        self._after = _BEFORE_ALL
        self._deleted = 0
        self._walk_cost_s = 0.0
