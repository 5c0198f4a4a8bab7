"""The rescue on a real PostgreSQL, with workers that exist as rows only. Seconds are tenths here."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from core.events import Event
from scheduler import lost_messages, observations, republishing
from scheduler import rescue as rescue_module
from scheduler.brokers import make_publisher
from scheduler.republishing import Republishing
from scheduler.rescue import Rescue
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import wait_for
from tests.engines import EngineProcess

DEAD_AFTER_S = 2.0


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescue_module, "INTERVAL_S", 0.05)
    monkeypatch.setattr(rescue_module, "DEAD_AFTER_S", DEAD_AFTER_S)
    monkeypatch.setattr(observations, "DEAD_AFTER_S", DEAD_AFTER_S)
    monkeypatch.setattr(observations, "ORPHANED_AFTER_S", 0.3)
    monkeypatch.setattr(observations, "LONGEST_GAP_S", 1.2)  # a stall of this process is none of the workers'
    monkeypatch.setattr(republishing, "INTERVAL_S", 0.1)
    for module in (lost_messages, republishing):
        monkeypatch.setattr(module, "PATIENCE_S", 0.5)


class Workers:
    """Rows of `instances` that beat from a thread as long as they live."""

    def __init__(self, rig: SchedulerRig) -> None:
        self._connection = psycopg.connect(rig.settings.database_url, autocommit=True)
        self._living: dict[str, list[UUID]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def live(self, worker: str, tokens: list[UUID]) -> None:
        """Let a worker beat and list these tokens."""
        self._living[worker] = tokens
        wait_for(lambda: worker not in self._living or self._listed(worker) == set(tokens), f"a beat of {worker}")

    def die(self, worker: str) -> None:
        """Let a worker's counter stand still."""
        del self._living[worker]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _listed(self, worker: str) -> set[UUID]:
        with self._connection.cursor() as cursor:
            row = cursor.execute("SELECT tokens FROM instances WHERE instance_id = %s", (worker,)).fetchone()
        return set(row[0]) if row else {UUID(int=0)}

    def _beat(self) -> None:
        while not self._stop.wait(0.05):
            for worker, tokens in list(self._living.items()):
                self._connection.execute(
                    "INSERT INTO instances (instance_id, part, tokens) VALUES (%s, 'worker', %s)"
                    " ON CONFLICT (instance_id) DO UPDATE SET beat = instances.beat + 1, tokens = excluded.tokens",
                    (worker, tokens),
                )


@pytest.fixture
def workers(database_rig: SchedulerRig) -> Iterator[Workers]:
    workers = Workers(database_rig)
    yield workers
    workers.close()


def make_rescue(rig: SchedulerRig, max_losses: int = 5) -> Rescue:
    return Rescue(max_losses, Republishing(partial(make_publisher, rig.settings)))


@contextmanager
def rescuing(rig: SchedulerRig, **options: Any) -> Iterator[None]:
    with rig.running(make_rescue(rig, **options)):
        yield


def attempts(rig: SchedulerRig, task_id: UUID) -> list[tuple[Any, ...]]:
    query = "SELECT series, number, worker, outcome, error FROM attempts WHERE task_id = %s ORDER BY series"
    return rig.connection.execute(query, (task_id,)).fetchall()


def instances(rig: SchedulerRig) -> set[str]:
    return {row[0] for row in rig.connection.execute("SELECT instance_id FROM instances")}


def test_jobs_of_a_dead_worker_are_due_again_and_its_row_is_gone(database_rig: SchedulerRig, workers: Workers) -> None:
    task_ids = database_rig.accept(2)
    workers.live("dying", database_rig.claim(task_ids, "dying"))
    with capture_logs() as logs, rescuing(database_rig):
        workers.die("dying")
        wait_for(lambda: not instances(database_rig), "the dead worker's burial")
    for task_id in task_ids:
        assert database_rig.live(task_id, "status, series, losses, token, publish_at <= clock_timestamp()") == (
            "RETRY",
            2,
            1,
            None,
            True,
        )
        [(series, number, worker, outcome, error)] = attempts(database_rig, task_id)
        assert (series, number, worker, outcome) == (1, 1, "dying", "LOST")
        assert json.loads(error) == {
            "type": "WorkerLost",
            "message": f"worker dying gave no sign of life for {DEAD_AFTER_S:g} s",
        }
    assert {entry["task_id"] for entry in logs if entry["event"] == Event.JOB_LOST} == {str(each) for each in task_ids}


def test_a_living_worker_keeps_its_jobs_and_an_idle_dead_one_loses_only_its_row(
    database_rig: SchedulerRig, workers: Workers
) -> None:
    [task_id] = database_rig.accept()
    workers.live("living", database_rig.claim([task_id], "living"))
    workers.live("idle", [])
    with rescuing(database_rig):
        workers.die("idle")
        wait_for(lambda: instances(database_rig) == {"living"}, "the idle worker's burial")
    assert database_rig.live(task_id, "status, series, losses") == ("STARTED", 1, 0)


def test_a_job_that_its_living_worker_does_not_list_is_due_again(database_rig: SchedulerRig, workers: Workers) -> None:
    lost, kept = database_rig.accept(2)
    database_rig.claim([lost], "living")
    workers.live("living", database_rig.claim([kept], "living"))
    with rescuing(database_rig):
        wait_for(lambda: database_rig.live(lost, "status") == ("RETRY",), "the lost job")
    assert database_rig.live(kept, "status, losses") == ("STARTED", 0)
    assert "does not run it any more" in attempts(database_rig, lost)[0][-1]


def test_a_job_whose_worker_has_no_row_is_due_again(database_rig: SchedulerRig) -> None:
    [task_id] = database_rig.accept()
    database_rig.claim([task_id], "vanished")
    with rescuing(database_rig):
        wait_for(lambda: database_rig.live(task_id, "status, series") == ("RETRY", 2), "the lost job")
    assert "worker vanished is gone" in attempts(database_rig, task_id)[0][-1]


def test_the_last_loss_ends_a_job_as_failure_and_says_so(database_rig: SchedulerRig) -> None:
    [task_id] = database_rig.accept()
    with capture_logs() as logs, rescuing(database_rig, max_losses=2):
        database_rig.claim([task_id], "first")
        wait_for(lambda: database_rig.live(task_id, "losses") == (1,), "the first loss")
        database_rig.claim([task_id], "second")
        wait_for(lambda: database_rig.live(task_id, "losses") is None, "the last loss")
    query = "SELECT status, error, attempts, finished_at IS NOT NULL FROM jobs WHERE task_id = %s"
    status, error, number, is_finished = database_rig.connection.execute(query, (task_id,)).fetchone() or ()
    assert (status, number, is_finished) == ("FAILURE", 2, True)
    assert json.loads(error) == {
        "type": "WorkerLost",
        "message": "worker second is gone; this was loss 2 of 2, so the job is not run again (MAX_LOSSES)",
    }
    assert [outcome for _, _, _, outcome, _ in attempts(database_rig, task_id)] == ["LOST", "LOST"]
    assert [entry["is_finished"] for entry in logs if entry["event"] == Event.JOB_LOST] == [False, True]


def test_a_job_that_finishes_first_is_not_touched(database_rig: SchedulerRig) -> None:
    """The token fences the rescue as it fences a late worker."""
    [task_id] = database_rig.accept()
    [token] = database_rig.claim([task_id], "vanished")
    database_rig.connection.execute("UPDATE live_jobs SET token = gen_random_uuid()")
    parameters = {"task_ids": [task_id], "tokens": [token], "max_losses": 5, "error": '{"type": "x", "message": "y"}'}
    assert database_rig.connection.execute(rescue_module._LOSE, parameters).fetchall() == []
    assert database_rig.live(task_id, "status, losses") == ("STARTED", 0)


def test_a_stopped_scheduler_s_stale_row_is_removed(database_rig: SchedulerRig) -> None:
    database_rig.connection.execute("INSERT INTO instances (instance_id, part) VALUES ('stale', 'scheduler')")
    with rescuing(database_rig):
        wait_for(lambda: not instances(database_rig), "the stale row's removal")


def test_a_worker_that_beats_again_is_not_buried(database_rig: SchedulerRig) -> None:
    database_rig.connection.execute("INSERT INTO instances (instance_id, part, beat) VALUES ('slow', 'worker', 7)")
    database_rig.connection.execute(rescue_module._BURY, {"instance_id": "slow", "beat": 6})
    assert instances(database_rig) == {"slow"}
    database_rig.connection.execute(rescue_module._BURY, {"instance_id": "slow", "beat": 7})
    assert instances(database_rig) == set()


def test_after_an_outage_of_the_database_nobody_is_dead_at_once(
    postgres: EngineProcess, database_rig: SchedulerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rescue saw the worker before, and sees it with the same counter after longer than a dead one's silence."""
    monkeypatch.setattr(observations, "LONGEST_GAP_S", 60.0)
    database_rig.connection.execute("INSERT INTO instances (instance_id, part) VALUES ('living', 'worker')")
    [task_id] = database_rig.accept()
    database_rig.claim([task_id], "living")
    database_rig.connection.execute("UPDATE instances SET tokens = array(SELECT token FROM live_jobs)")
    with capture_logs() as logs, rescuing(database_rig):
        wait_for(lambda: leaders(database_rig), "the rescue's first look")
        postgres.kill()
        lost_at = time.monotonic()
        wait_for(lambda: time.monotonic() > lost_at + DEAD_AFTER_S, "silence")
        postgres.start()
        wait_for(lambda: Event.STORE_RESTORED in {entry["event"] for entry in logs}, "the first look after the outage")
        database_rig.reconnect()
        database_rig.connection.execute("UPDATE instances SET beat = beat + 1")
        assert database_rig.live(task_id, "status, losses") == ("STARTED", 0)
    assert Event.JOB_LOST not in {entry["event"] for entry in logs}


def test_one_of_two_rescues_leads_and_the_other_takes_over_when_its_connection_dies(database_rig: SchedulerRig) -> None:
    with database_rig.running(make_rescue(database_rig), make_rescue(database_rig)):
        wait_for(lambda: len(leaders(database_rig)) == 1, "a leader")
        before = leaders(database_rig)
        database_rig.connection.execute("SELECT pg_terminate_backend(%s)", before)
        wait_for(lambda: leaders(database_rig) not in ([], before), "another leader")
        assert len(leaders(database_rig)) == 1
    wait_for(lambda: leaders(database_rig) == [], "the end of the leader's session")


def leaders(rig: SchedulerRig) -> list[int]:
    """Return the server processes that hold an advisory lock in this database."""
    query = (
        "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database() AND granted"
    )
    return [pid for (pid,) in rig.connection.execute(query)]


def test_messages_that_the_broker_lost_are_published_again_in_the_same_series(scheduler_rig: SchedulerRig) -> None:
    task_ids = scheduler_rig.accept(5)
    with scheduler_rig.running(scheduler_rig.relay()):
        scheduler_rig.wait_until_marked(5)
        assert len(scheduler_rig.published()) == 5  # taken, and nobody claims: they are lost
        with rescuing(scheduler_rig):
            wait_for(lambda: scheduler_rig.ready() == 5, "the messages once more")
    assert scheduler_rig.published() == [(task_id, 1) for task_id in task_ids]


def test_messages_that_are_ready_are_not_published_again(
    scheduler_rig: SchedulerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    judge = lost_messages.LostMessages.judge

    def counted(self: lost_messages.LostMessages, now: float, *rest: Any) -> Any:
        looks.append(now)
        return judge(self, now, *rest)

    monkeypatch.setattr(lost_messages.LostMessages, "judge", counted)
    scheduler_rig.accept(5)
    with scheduler_rig.running(scheduler_rig.relay()), rescuing(scheduler_rig):
        scheduler_rig.wait_until_marked(5)
        wait_for(lambda: len(looks) > 2 and looks[-1] - looks[0] > 1.5, "looks for three times the patience")
        assert scheduler_rig.count("publish_at IS NULL AND published_at IS NOT NULL") == 5
    assert scheduler_rig.ready() == 5


def test_an_overtaken_message_is_published_again(database_rig: SchedulerRig, workers: Workers) -> None:
    lost, running, young = database_rig.accept(3)
    with database_rig.running(database_rig.relay()):
        database_rig.wait_until_marked(3)
        database_rig.connection.execute(
            "UPDATE live_jobs SET published_at = now() - interval '40 s' WHERE task_id = %s", (lost,)
        )
        workers.live("living", database_rig.claim([running], "living"))
        with rescuing(database_rig):
            wait_for(lambda: database_rig.ready() == 4, "one more message")
    assert [task_id for task_id, _ in database_rig.published()] == [lost, running, young, lost]
