"""Keeps the relay's index short under load.

A finished job leaves an entry in live_jobs_waiting until a vacuum removes it, and each of the relay's scans passes over it:
240,000 of them (a minute at 4,000 jobs/s) make a scan take 2 ms instead of 0.1 ms. Autovacuum comes once a minute by
default.
"""

import time
from collections.abc import Callable
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from core.queries import load_query
from scheduler.budget import Budget

_COUNT_DEAD_ROWS: Final = load_query("scheduler", "count_dead_rows")
_VACUUM: Final = load_query("scheduler", "vacuum")

INTERVAL_S: Final = 5.0
DEAD_ROWS: Final = 20_000
SHARE: Final = 0.02


class Vacuuming:
    """Vacuums live_jobs when it has many dead rows, at no more than 2 % of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._budget = Budget(SHARE, shortest_pause_s=INTERVAL_S)

    def work(self, connection: Connection[TupleRow]) -> float:
        """Look, and vacuum if it is worth it; return the seconds until the next look."""
        if self._budget.allows(self._clock()):
            started_at = self._clock()
            row = connection.execute(_COUNT_DEAD_ROWS).fetchone()
            if row and row[0] >= DEAD_ROWS:
                connection.execute(_VACUUM, prepare=False)
            self._budget.spend(self._clock(), self._clock() - started_at)
        return self._budget.pause_s(self._clock())
