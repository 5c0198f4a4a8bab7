"""The relay's statements: what is due, take it, mark it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from core.queries import load_query
from scheduler.brokers.publisher import DueJob

_SURVEY: Final = load_query("scheduler", "survey")
_PROMOTE: Final = load_query("scheduler", "promote")
_TAKE: Final = load_query("scheduler", "take")
_MARK: Final = load_query("scheduler", "mark")
_SLOTS: Final = load_query("scheduler", "slots")
_RELEASE: Final = load_query("scheduler", "release")

#: A job that was taken and not marked comes due again after this time.
LEASE_S: Final = 5.0

#: Statements of the relay may be forgotten by a crash of the server: then a job is published twice. And they always go by
#: index: live_jobs grows from nothing to a million rows faster than statistics do, and a plan made for an empty table reads
#: a full one from end to end, for each batch.
SESSION: Final = (
    "SET synchronous_commit = off",
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET enable_sort = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET plan_cache_mode = force_generic_plan",
    "SET jit = off",
    "LISTEN jobs_due",
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to do: queues with due jobs, and seconds until the next delayed job (None: there is none)."""

    due_queues: tuple[str, ...]
    next_delayed_s: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that were taken together: all have the same lease."""

    lease: datetime
    jobs: Sequence[DueJob]


def survey(connection: Connection[TupleRow]) -> Survey:
    """Look for due and delayed jobs."""
    rows = connection.execute(_SURVEY).fetchall()
    return Survey(tuple(queue for queue, _, is_due in rows if is_due), rows[0][1])


def slots(connection: Connection[TupleRow]) -> dict[str, int]:
    """Return how many slots of workers serve each queue that has some."""
    return dict(connection.execute(_SLOTS).fetchall())


def promote(connection: Connection[TupleRow], limit: int) -> int:
    """Make delayed jobs whose time has come due; return how many."""
    return _count(connection, _PROMOTE, {"limit": limit})


def take(connection: Connection[TupleRow], queue: str, limit: int) -> Batch | None:
    """Lease the most urgent due jobs of a queue; None if there are none that another scheduler is not taking."""
    rows = connection.execute(_TAKE, {"queue": queue, "limit": limit, "lease_s": LEASE_S}).fetchall()
    if not rows:
        return None
    return Batch(lease=rows[0][3], jobs=[DueJob(task_id, series, task) for task_id, series, task, _ in rows])


def mark(connection: Connection[TupleRow], lease: datetime, confirmed: Sequence[DueJob]) -> None:
    """Note that the broker has these jobs' messages."""
    _end(connection, _MARK, lease, confirmed)


def release(connection: Connection[TupleRow], lease: datetime, unconfirmed: Sequence[DueJob]) -> None:
    """Make these jobs due again at once."""
    _end(connection, _RELEASE, lease, unconfirmed)


def _end(connection: Connection[TupleRow], query: str, lease: datetime, jobs: Sequence[DueJob]) -> None:
    """One statement for each series that there is: a join with ids and series may read the whole table for each batch."""
    of_series = defaultdict(list)
    for job in jobs:
        of_series[job.series].append(job.task_id)
    for series, task_ids in of_series.items():
        connection.execute(query, {"series": series, "task_ids": task_ids, "lease": lease})


def _count(connection: Connection[TupleRow], query: str, parameters: dict[str, int]) -> int:
    row = connection.execute(query, parameters).fetchone()
    return int(row[0]) if row else 0
