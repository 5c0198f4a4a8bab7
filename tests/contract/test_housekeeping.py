"""Retention and vacuuming on a real PostgreSQL."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from core.database import connect
from scheduler import retention as retention_module
from scheduler import vacuuming as vacuuming_module
from scheduler.housekeeping import Housekeeping
from scheduler.retention import Retention
from scheduler.vacuuming import Vacuuming
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import wait_for

WEEK_S = 7 * 86400.0


@pytest.fixture
def connection(database_rig: SchedulerRig) -> Iterator[psycopg.Connection]:
    with connect(database_rig.settings, "test") as connection:
        yield connection


def old_id(number: int) -> UUID:
    """Return a UUIDv7 of the year 2020."""
    return UUID(int=(1_577_836_800_000 + number) << 80 | 7 << 76 | 2 << 62 | number)


def insert_old(rig: SchedulerRig, numbers: range, status: str | None, age: str = "8 days") -> list[UUID]:
    """Insert jobs that were accepted long ago; finished ones have ended `age` ago and have two attempts."""
    ids = [old_id(number) for number in numbers]
    rig.connection.execute(
        "INSERT INTO jobs (task_id, task, owner, queue, args, due_at, status, finished_at)"
        " SELECT task_id, 'tasks.add', 'local', 'default', '{}', now(), %(status)s::text,"
        " CASE WHEN %(status)s::text IS NOT NULL THEN now() - %(age)s::interval END"
        " FROM unnest(%(ids)s::uuid[]) AS t (task_id)",
        {"ids": ids, "status": status, "age": age},
    )
    rig.connection.execute(
        "INSERT INTO attempts (task_id, series, number, worker, started_at, outcome)"
        " SELECT task_id, series, series, 'w', now(), 'SUCCESS'"
        " FROM unnest(%(ids)s::uuid[]) AS t (task_id), generate_series(1, 2) AS series",
        {"ids": ids},
    )
    return ids


def remaining(rig: SchedulerRig, table: str = "jobs") -> set[UUID]:
    return {row[0] for row in rig.connection.execute(f"SELECT task_id FROM {table}".encode())}


def walk(retention: Retention, connection: psycopg.Connection) -> int:
    """Work until the walk ends; return the number of batches."""
    batches = 1
    while retention.work(connection) < 10:
        batches += 1
        assert batches < 100
    return batches


def test_jobs_that_finished_long_ago_are_deleted_with_their_attempts(
    database_rig: SchedulerRig, connection: psycopg.Connection
) -> None:
    insert_old(database_rig, range(10), "SUCCESS")
    insert_old(database_rig, range(10, 20), "FAILURE")
    walk(Retention(WEEK_S), connection)
    assert remaining(database_rig) == set()
    assert remaining(database_rig, "attempts") == set()


def test_what_is_unfinished_or_finished_lately_or_new_is_kept(
    database_rig: SchedulerRig, connection: psycopg.Connection
) -> None:
    kept = insert_old(database_rig, range(10), None)
    kept += insert_old(database_rig, range(10, 20), "SUCCESS", age="6 days")
    kept += database_rig.accept(5)
    walk(Retention(WEEK_S), connection)
    assert remaining(database_rig) == set(kept)


def test_the_walk_gets_past_rows_that_cannot_be_deleted_in_batches(
    database_rig: SchedulerRig, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "BATCH_SIZE", 10)
    kept = insert_old(database_rig, range(35), None)
    insert_old(database_rig, range(35, 70), "SUCCESS")
    assert walk(Retention(WEEK_S), connection) == 8
    assert remaining(database_rig) == set(kept)


def test_a_short_retention_counts_to_the_second(database_rig: SchedulerRig, connection: psycopg.Connection) -> None:
    [task_id] = database_rig.accept()
    database_rig.connection.execute("UPDATE jobs SET status = 'SUCCESS', finished_at = clock_timestamp()")
    walk(Retention(3600.0), connection)
    assert remaining(database_rig) == {task_id}

    def is_gone() -> bool:
        walk(Retention(0.2), connection)
        return remaining(database_rig) == set()

    wait_for(is_gone, "the end of a retention of 0.2 s")


def test_a_walk_comes_once_a_minute(database_rig: SchedulerRig, connection: psycopg.Connection) -> None:
    now = 0.0
    retention = Retention(WEEK_S, clock=lambda: now)
    assert retention.work(connection) == 60.0
    insert_old(database_rig, range(3), "SUCCESS")
    now = 59.0
    assert retention.work(connection) == 1.0
    assert len(remaining(database_rig)) == 3
    now = 60.0
    retention.work(connection)
    assert remaining(database_rig) == set()


def test_expired_idempotency_keys_are_deleted_and_others_kept(
    database_rig: SchedulerRig, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "BATCH_SIZE", 10)
    database_rig.connection.execute(
        "INSERT INTO idempotency_keys (owner, key, fingerprint, task_id, expires_at)"
        " SELECT 'local', n::text, '', gen_random_uuid(), now() + (n - 25) * interval '1 hour' - interval '1 minute'"
        " FROM generate_series(1, 30) AS n"
    )
    walk(Retention(WEEK_S), connection)
    left = database_rig.connection.execute("SELECT key::int FROM idempotency_keys ORDER BY 1").fetchall()
    assert left == [(26,), (27,), (28,), (29,), (30,)]


def test_live_jobs_is_vacuumed_when_many_rows_are_dead_and_only_then(
    database_rig: SchedulerRig, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuuming_module, "DEAD_ROWS", 100)
    Vacuuming().work(connection)
    assert vacuums(database_rig) == 0
    database_rig.accept(150)
    database_rig.connection.execute("DELETE FROM live_jobs")
    wait_for(lambda: vacuumed(database_rig, connection), "a vacuum")


def vacuums(rig: SchedulerRig) -> int:
    row = rig.connection.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'live_jobs'").fetchone()
    assert row is not None
    return int(row[0])


def vacuumed(rig: SchedulerRig, connection: psycopg.Connection) -> bool:
    """Look once (statistics come late, so it may have to be looked again)."""
    Vacuuming().work(connection)
    return vacuums(rig) > 0


def test_only_one_scheduler_keeps_house(database_rig: SchedulerRig, connection: psycopg.Connection) -> None:
    first = Housekeeping(Retention(WEEK_S), Vacuuming())
    first.step(connection)
    insert_old(database_rig, range(3), "SUCCESS")
    with connect(database_rig.settings, "test") as other:
        Housekeeping(Retention(WEEK_S), Vacuuming()).step(other)
    assert len(remaining(database_rig)) == 3
