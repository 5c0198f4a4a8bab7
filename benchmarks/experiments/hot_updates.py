"""Which share of the updates is HOT, by fillfactor, and what a job writes to the WAL?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.hot_updates [JOBS]

A job's whole life in the order of a drain: accepted in a backlog, published in batches of 100 that keep 1,000 ahead, claimed
and finished. One process, so that nothing but the table layout differs.
"""

import sys
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from benchmarks.experiments.schema import NAME, TABLES, accept, fresh_tables
from worker.attempt_store import CLAIM, TURN, turn_parameters
from worker.outcome import Attempt, Succeeded

#: As scheduler/queries/take.sql and mark.sql change a row.
TAKE: Final = "UPDATE live_jobs SET publish_at = now() + interval '5 s' WHERE task_id = ANY (%s)"
MARK: Final = "UPDATE live_jobs SET publish_at = NULL, published_at = clock_timestamp() WHERE task_id = ANY (%s)"
AHEAD: Final = 1000
BATCH: Final = 100

LIVE_DECLARED: Final = "fillfactor = 50"
JOBS_DECLARED: Final = "fillfactor = 75"
STATISTICS: Final = """
    SELECT relname, n_tup_hot_upd::float8 / greatest(1, n_tup_upd) FROM pg_stat_user_tables
    WHERE schemaname = %s AND relname IN ('jobs', 'live_jobs')
"""


def live(connection: psycopg.Connection[Any], task_ids: list[UUID]) -> None:
    """Publish and run all jobs."""
    published = 0
    for done, task_id in enumerate(task_ids):
        while published < min(len(task_ids), done + AHEAD):
            batch = task_ids[published : published + BATCH]
            connection.execute(TAKE, [batch])
            connection.execute(MARK, [batch])
            published += len(batch)
        token = uuid4()
        connection.execute(CLAIM, {"task_id": task_id, "series": 1, "token": token, "worker": "experiment"})
        ended = turn_parameters([(Attempt(task_id, token, "tasks.add"), Succeeded("5"))])
        connection.execute(TURN, ended | {"worker": "experiment"})


def measure(live_fillfactor: int, jobs_fillfactor: int, count: int) -> None:
    """Print one line."""
    tables = TABLES.replace(LIVE_DECLARED, f"fillfactor = {live_fillfactor}")
    tables = tables.replace(JOBS_DECLARED, f"fillfactor = {jobs_fillfactor}")
    with fresh_tables(tables) as connection:
        connection.execute("CHECKPOINT")
        before = value(connection, "SELECT pg_current_wal_lsn()")
        live(connection, accept(connection, count))
        wal_bytes = float(value(connection, "SELECT pg_current_wal_lsn() - %s::pg_lsn", before))
        assert value(connection, "SELECT count(*) FROM jobs WHERE status = 'SUCCESS'") == count
        connection.execute("SELECT pg_stat_force_next_flush()")
        shares = dict(connection.execute(STATISTICS, [NAME]).fetchall())
    print(
        f"fillfactor live_jobs {live_fillfactor:3}, jobs {jobs_fillfactor:3}: HOT live_jobs {shares['live_jobs']:.3f}, "
        f"jobs {shares['jobs']:.3f}; {wal_bytes / count:,.0f} bytes of WAL per job"
    )


def value(connection: psycopg.Connection[Any], sql: str, *parameters: object) -> Any:
    """Return the one value of a statement's one row."""
    row = connection.execute(sql.encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    assert LIVE_DECLARED in TABLES
    assert JOBS_DECLARED in TABLES
    for fillfactors in ((50, 75), (70, 75), (100, 75), (50, 100), (50, 60)):
        measure(*fillfactors, count=int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
