"""The relay between a real PostgreSQL and both brokers."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from core.database import connect
from core.settings import Settings
from scheduler import due_jobs
from scheduler import relay as relay_module
from scheduler.broker_link import BrokerLink
from scheduler.brokers import make_publisher
from scheduler.brokers.publisher import BrokerUnavailableError, DueJob
from scheduler.relay import Relay
from tests.contract.scheduler_rig import FixedWindow, SchedulerRig, wait_s
from tests.contract.worker_rig import WorkerRig, wait_for


def test_an_accepted_job_is_published_and_marked(scheduler_rig: SchedulerRig) -> None:
    [task_id] = scheduler_rig.accept()
    with scheduler_rig.running(scheduler_rig.relay()):
        scheduler_rig.wait_until_marked(1)
    assert scheduler_rig.published() == [(task_id, 1)]
    assert scheduler_rig.live(task_id, "status, series, publish_at, published_at <= clock_timestamp()") == (
        "PENDING",
        1,
        None,
        True,
    )


def test_a_real_worker_runs_what_the_relay_publishes(settings: Settings, scheduler_rig: SchedulerRig) -> None:
    rig = WorkerRig(settings)
    try:
        worker = rig.start_worker()
        with scheduler_rig.running(scheduler_rig.relay()):
            rows = [rig.finished(task_id) for task_id in scheduler_rig.accept(50)]
        assert {(row.status, row.result) for row in rows} == {("SUCCESS", "5")}
        assert {row.fields["attempts"] for row in rows} == {1}
        rig.stop_worker(worker)
        assert rig.messages_left() == 0
    finally:
        rig.close()


def test_a_wake_up_publishes_at_once(database_rig: SchedulerRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "POLL_S", 6.0)
    database_rig.accept()
    with database_rig.running(database_rig.relay()):
        database_rig.wait_until_marked(1)
        database_rig.accept()
        assert wait_s(lambda: database_rig.count("published_at IS NOT NULL") == 2, "the second job") < 4.0


def test_without_a_wake_up_a_due_job_is_found_by_polling(database_rig: SchedulerRig) -> None:
    [task_id] = database_rig.accept()
    with database_rig.running(database_rig.relay()):
        database_rig.wait_until_marked(1)
        database_rig.connection.execute(
            "UPDATE live_jobs SET status = 'RETRY', series = 2, published_at = NULL, publish_at = now()"
        )
        database_rig.wait_until_marked(1)
    assert database_rig.published() == [(task_id, 1), (task_id, 2)]


def test_higher_priorities_go_first_and_then_the_older(database_rig: SchedulerRig) -> None:
    low = database_rig.accept(3, priority=0)
    high = database_rig.accept(3, priority=9)
    middle = database_rig.accept(3, priority=5)
    with database_rig.running(database_rig.relay(window=4)):
        wait_for(lambda: database_rig.ready() == 4, "a full window")
        first = database_rig.published(count=4)
        database_rig.wait_until_marked(8)
    assert [task_id for task_id, _ in first] == [*high, middle[0]]
    assert [task_id for task_id, _ in database_rig.published()][:4] == [*middle[1:], *low[:2]]


def test_no_more_is_published_than_the_window_takes(scheduler_rig: SchedulerRig) -> None:
    accepted = scheduler_rig.accept(50)
    with scheduler_rig.running(scheduler_rig.relay(window=20)):
        scheduler_rig.wait_until_marked(20)
        wait_for(lambda: scheduler_rig.ready() == 20, "a full window")
        first = scheduler_rig.published(count=12)
        wait_for(lambda: scheduler_rig.count("published_at IS NOT NULL") > 20 + 12 - 5, "a window that is filled up again")
        assert scheduler_rig.ready() in range(16, 21)
    rest = scheduler_rig.published()
    assert [task_id for task_id, _ in first + rest] == accepted[: len(first + rest)]


def test_a_full_queue_does_not_hold_up_another(scheduler_rig: SchedulerRig) -> None:
    scheduler_rig.accept(50, queue="full")
    with scheduler_rig.running(scheduler_rig.relay(window=20)):
        scheduler_rig.wait_until_marked(20)
        scheduler_rig.accept(5, queue="other")
        wait_for(lambda: scheduler_rig.count("queue = 'other' AND published_at IS NOT NULL") == 5, "the other queue")
    assert len(scheduler_rig.published("other")) == 5


def test_every_queue_with_due_jobs_is_found(database_rig: SchedulerRig) -> None:
    with connect(database_rig.settings, "test") as connection:
        assert due_jobs.survey(connection) == due_jobs.Survey((), None)
        for queue in ("a", "b", "ü"):
            database_rig.accept(3, queue=queue)
        database_rig.accept(queue="delayed", delay_s=60)
        survey = due_jobs.survey(connection)
        assert survey.due_queues == ("a", "b", "ü")
        assert survey.next_delayed_s == pytest.approx(60, abs=5)
        database_rig.connection.execute("DELETE FROM live_jobs WHERE queue <> 'delayed'")
        assert due_jobs.survey(connection).due_queues == ()
        assert due_jobs.survey(connection).next_delayed_s == pytest.approx(60, abs=5)


def test_a_delayed_job_is_published_when_its_time_has_come_and_not_before(scheduler_rig: SchedulerRig) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=1.2)
    [task_id] = scheduler_rig.accept(eta=eta)
    with scheduler_rig.running(scheduler_rig.relay()):
        scheduler_rig.wait_until_marked(1)
    [published_at] = scheduler_rig.live(task_id, "published_at")
    assert timedelta(0) <= published_at - eta < timedelta(seconds=5)


def test_only_delayed_jobs_whose_time_has_come_are_promoted(database_rig: SchedulerRig) -> None:
    [ripe] = database_rig.accept(delay_s=0.01)
    database_rig.accept(delay_s=60)
    with connect(database_rig.settings, "test") as connection:
        wait_for(lambda: due_jobs.promote(connection, 10) == 1, "one promotion")
        assert due_jobs.promote(connection, 10) == 0
    assert database_rig.live(ripe, "delayed_until") == (None,)


def test_many_delayed_jobs_that_come_due_together_are_all_published(database_rig: SchedulerRig) -> None:
    accepted = database_rig.accept(2500, eta=datetime.now(UTC) + timedelta(seconds=0.5))
    with database_rig.running(database_rig.relay(window=5000)):
        database_rig.wait_until_marked(2500)
    assert {task_id for task_id, _ in database_rig.published()} == set(accepted)


def test_a_job_that_was_taken_and_not_marked_is_published_again_after_its_lease(
    database_rig: SchedulerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_jobs, "LEASE_S", 2.0)
    [task_id] = database_rig.accept()
    with connect(database_rig.settings, "test") as connection:
        batch = due_jobs.take(connection, "default", 10)
        assert batch is not None
        assert due_jobs.take(connection, "default", 10) is None
    publisher = make_publisher(database_rig.settings)
    publisher.publish("default", batch.jobs)
    publisher.close()
    with database_rig.running(database_rig.relay()):
        database_rig.wait_until_marked(1)
    assert database_rig.published() == [(task_id, 1), (task_id, 1)]


@pytest.mark.parametrize(
    "change",
    [
        "status = 'STARTED', token = gen_random_uuid(), worker = 'w', started_at = now(), publish_at = NULL",
        "status = 'RETRY', series = 2",
        "status = 'RETRY', series = 2, publish_at = clock_timestamp()",
        "status = 'RETRY', delayed_until = publish_at, series = 2",
        "publish_at = now() + interval '1 minute'",
    ],
    ids=["claimed", "of another series", "due again", "delayed until the very end of the lease", "leased by another"],
)
def test_a_mark_that_comes_late_changes_nothing(database_rig: SchedulerRig, change: str) -> None:
    [task_id] = database_rig.accept()
    with connect(database_rig.settings, "test") as connection:
        batch = due_jobs.take(connection, "default", 10)
        assert batch is not None
        database_rig.connection.execute(f"UPDATE live_jobs SET {change}".encode())
        before = database_rig.live(task_id, "l::text FROM live_jobs AS l --")
        due_jobs.mark(connection, batch.lease, batch.jobs)
        due_jobs.release(connection, batch.lease, batch.jobs)
    assert database_rig.live(task_id, "l::text FROM live_jobs AS l --") == before


def test_a_late_mark_knows_the_series_of_each_job_of_its_batch(database_rig: SchedulerRig) -> None:
    first, second = database_rig.accept(2)
    database_rig.connection.execute("UPDATE live_jobs SET series = 2 WHERE task_id = %s", [second])
    with connect(database_rig.settings, "test") as connection:
        batch = due_jobs.take(connection, "default", 10)
        assert batch is not None
        assert {(job.task_id, job.series) for job in batch.jobs} == {(str(first), 1), (str(second), 2)}
        database_rig.connection.execute("UPDATE live_jobs SET series = 2 WHERE task_id = %s", [first])
        due_jobs.release(connection, batch.lease, batch.jobs[:1])
        due_jobs.mark(connection, batch.lease, batch.jobs)
    assert database_rig.live(first, "publish_at, published_at") == (batch.lease, None)
    [publish_at, published_at] = database_rig.live(second, "publish_at, published_at")
    assert publish_at is None
    assert published_at is not None


class StubbornPublisher:
    """Confirms every other job, or none at all."""

    def __init__(self, *, is_away: bool) -> None:
        self._is_away = is_away

    def ready(self, queue: str) -> int:
        return 0

    def publish(self, queue: str, jobs: Sequence[DueJob]) -> list[DueJob]:
        if self._is_away:
            raise BrokerUnavailableError("away")
        return list(jobs[::2])

    def tend(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(("is_away", "confirmed"), [(False, 2), (True, 0)])
def test_what_was_not_confirmed_is_due_again_at_once(database_rig: SchedulerRig, is_away: bool, confirmed: int) -> None:
    database_rig.accept(4)
    relay = Relay(lambda: FixedWindow(100), BrokerLink(lambda: StubbornPublisher(is_away=is_away)))
    with connect(database_rig.settings, "test") as connection:
        relay.step(connection)
    assert database_rig.count("published_at IS NOT NULL AND publish_at IS NULL") == confirmed
    assert database_rig.count("published_at IS NULL AND publish_at <= clock_timestamp()") == 4 - confirmed


def test_two_relays_publish_each_job_once(scheduler_rig: SchedulerRig) -> None:
    accepted = scheduler_rig.accept(3000)
    with scheduler_rig.running(scheduler_rig.relay(window=5000), scheduler_rig.relay(window=5000)):
        scheduler_rig.wait_until_marked(3000)
    assert Counter(task_id for task_id, _ in scheduler_rig.published()) == Counter(accepted)


def test_plans_made_for_an_empty_table_go_by_index_when_it_is_full(database_rig: SchedulerRig) -> None:
    with connect(database_rig.settings, "test") as connection:
        for statement in due_jobs.SESSION:
            connection.execute(statement.encode())
        for number in range(8):  # the plan that is kept is made after the fifth time
            relay_once(connection, limit=number + 1)
        database_rig.accept(3000)
        database_rig.accept(3000, delay_s=3600)
        with connection.transaction():
            assert relay_once(connection, limit=100) == 100
            scans = connection.execute(
                "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0"
            ).fetchall()
    assert scans == []


def relay_once(connection: psycopg.Connection, limit: int) -> int:
    due_jobs.survey(connection)
    due_jobs.promote(connection, limit)
    batch = due_jobs.take(connection, "default", limit)
    jobs = batch.jobs if batch else []
    due_jobs.mark(connection, batch.lease if batch else datetime.now(UTC), jobs)
    return len(jobs)


def test_leases_and_marks_are_hot(database_rig: SchedulerRig) -> None:
    database_rig.connection.execute("SET synchronous_commit = off")
    database_rig.accept(1000)
    database_rig.accept(1000, delay_s=3600)
    with database_rig.running(database_rig.relay(window=5000)):
        wait_for(lambda: database_rig.ready() == 1000, "the messages")  # asked of the broker: that holds no snapshot
        database_rig.wait_until_marked(1000)
        scans = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'live_jobs'"
        wait_for(lambda: statistics(database_rig, scans)[0] >= 2000, "statistics of 1,000 leases and 1,000 marks")
    updated, hot = statistics(database_rig, scans)
    # Room for the second version of a row comes from its first: not while a snapshot is open that may still see that, as of
    # a statistics run. With an index on what changes, none at all is hot.
    assert updated == 2000
    assert hot > 0.9 * updated


def statistics(rig: SchedulerRig, query: str) -> tuple[int, ...]:
    row = rig.connection.execute(query.encode()).fetchone()
    assert row is not None
    return row
