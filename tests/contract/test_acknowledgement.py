"""Every way in which an attempt can end meets the row once, and its message leaves the broker, on both brokers.

This is the experiment behind the decision on claim, token and heartbeat: Celery's acknowledgement paths, one by one.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kombu import Connection

from tests.contract.worker_rig import Row, WorkerRig, wait_for
from tests.processes import children_of, descendants_of, is_zombie
from tests.tcp_proxy import TcpProxy

#: Task, arguments; status, type of the error, outcomes of the attempts.
ENDINGS: list[tuple[str, dict[str, Any], str, str | None, list[str]]] = [
    ("tasks.add", {"x": 2, "y": 3}, "SUCCESS", None, ["SUCCESS"]),
    ("ill.raises", {}, "FAILURE", "ValueError", ["FAILURE"]),
    ("ill.retries", {}, "RETRY", "ValueError", ["FAILURE"]),
    ("ill.asks_for_retry", {}, "RETRY", None, ["FAILURE"]),
    ("ill.kills_itself", {}, "RETRY", "WorkerLost", ["LOST"]),
    ("ill.exits", {}, "RETRY", "WorkerLost", ["LOST"]),
    ("ill.exceeds_soft_limit", {}, "FAILURE", "SoftTimeLimitExceeded", ["FAILURE"]),
    ("ill.exceeds_hard_limit", {}, "FAILURE", "TimeLimitExceeded", ["FAILURE"]),
    ("ill.exceeds_hard_limit_and_retries", {}, "RETRY", "TimeLimitExceeded", ["FAILURE"]),
    ("ill.returns_nan", {}, "FAILURE", "ResultError", ["FAILURE"]),
    ("ill.returns_an_object", {}, "FAILURE", "ResultError", ["FAILURE"]),
    ("ill.returns_too_much", {}, "FAILURE", "ResultError", ["FAILURE"]),
    ("ill.ignores", {}, "FAILURE", "Ignore", ["FAILURE"]),
    ("ill.rejects", {}, "FAILURE", "Reject", ["FAILURE"]),
    ("ill.raises_unpicklable", {}, "FAILURE", "LocalError", ["FAILURE"]),
    ("ill.raises_nonsense", {}, "FAILURE", "ValueError", ["FAILURE"]),
    ("ill.raises_memory_error", {}, "FAILURE", "MemoryError", ["FAILURE"]),
    ("ill.raises_what_ends_processes", {"name": "TimeLimitExceeded"}, "FAILURE", "TimeLimitExceeded", ["FAILURE"]),
    ("ill.raises_what_ends_processes", {"name": "WorkerLostError"}, "FAILURE", "WorkerLostError", ["FAILURE"]),
    ("ill.calls_a_group", {}, "FAILURE", "UnsupportedCallError", ["FAILURE"]),
]


#: Seconds from the first failure to the second attempt, by Celery's documentation; by the policy, with RETRY_BASE_S=10.
WAITS = {
    "waits.as_the_policy_says": (5.0, 10.0),
    "waits.default_retry_delay": (30.0, 30.0),
    "waits.retry_kwargs": (40.0, 40.0),
    "waits.retry_backoff": (50.0, 50.0),
    "waits.retry_backoff_max": (20.0, 20.0),
    "waits.retry": (30.0, 30.0),
    "waits.retry_countdown": (60.0, 60.0),
    "waits.retry_eta": (70.0, 70.0),
    "waits.time_limit": (80.0, 80.0),
    "waits.time_limit_backoff": (90.0, 90.0),
}


def test_each_way_to_ask_for_a_retry_waits_as_long_as_it_says(rig: WorkerRig) -> None:
    rig.start_worker(RETRY_BASE_S="10", WORKER_SLOTS="2")
    for task_id, (shortest_s, longest_s) in {rig.submit(task): limits for task, limits in WAITS.items()}.items():
        row = rig.wait(task_id, lambda row: row.status == "RETRY", limit_s=30)
        ended_at, due_at = rig.connection.execute(
            "SELECT ended_at, delayed_until FROM attempts JOIN live_jobs USING (task_id) WHERE task_id = %s", (task_id,)
        ).fetchone() or (None, None)
        assert ended_at is not None, row
        assert shortest_s - 1.0 <= (due_at - ended_at).total_seconds() <= longest_s + 0.1, row


def test_each_ending_is_recorded_once_and_its_message_acknowledged(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_ids = [rig.submit(task, **args) for task, args, _, _, _ in ENDINGS]
    for task_id, (task, _, status, error, outcomes) in zip(task_ids, ENDINGS, strict=True):
        row = rig.wait(task_id, partial(has_outcomes, outcomes), limit_s=30)
        assert (task, row.status, row.error and row.error["type"]) == (task, status, error)
    rig.stop_worker(worker)
    assert rig.messages_left() == 0


def has_outcomes(outcomes: list[str], row: Row) -> bool:
    return row.outcomes == outcomes


def test_a_job_that_failed_for_good_keeps_no_row_in_live_jobs(rig: WorkerRig) -> None:
    rig.start_worker()
    task_id = rig.submit("ill.raises")
    assert rig.finished(task_id).fields["series"] is None


def test_a_duplicate_message_is_dropped(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.accept("tasks.add", x=1, y=1)
    for _ in range(5):
        rig.publish("tasks.add", task_id)
    rig.finished(rig.submit("tasks.add", x=1, y=1))
    assert rig.stop_worker(worker).count("job.dropped") == 4
    assert rig.row(task_id).outcomes == ["SUCCESS"]


def test_a_message_of_another_series_is_dropped(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.accept("tasks.add", x=1, y=1)
    rig.publish("tasks.add", task_id, series=7)
    rig.finished(rig.submit("tasks.add", x=1, y=1))
    logged = rig.stop_worker(worker)
    assert rig.row(task_id).status == "PENDING"
    assert "job.dropped" in logged


def test_an_unknown_task_is_due_again_later(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.submit("no.such_task")
    row = rig.wait(task_id, lambda row: row.fields["series"] == 2)
    assert row.status == "PENDING"
    assert 25 < row.fields["due_in_s"] <= 30
    rig.stop_worker(worker)
    assert rig.messages_left() == 0


def test_a_warm_shutdown_lets_the_running_attempt_finish(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker()
    task_id = rig.submit("ill.sleeps", seconds=1.0, mark=str(mark))
    wait_for(mark.exists, "the task to run")
    rig.stop_worker(worker)
    assert rig.row(task_id).status == "SUCCESS"
    assert rig.messages_left() == 0


def test_a_drain_hands_back_what_does_not_finish(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker(DRAIN_S="1")
    task_id = rig.submit("ill.sleeps", seconds=60, mark=str(mark))
    wait_for(mark.exists, "the task to run")
    rig.stop_worker(worker)
    row = rig.row(task_id)
    assert (row.status, row.outcomes) == ("PENDING", ["HANDED_BACK"])
    assert (row.fields["series"], row.fields["attempts"], row.fields["losses"]) == (2, 0, 0)
    assert row.fields["due_in_s"] <= 0


def test_what_waits_in_a_stopping_worker_is_due_again_at_once(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker()
    running = rig.submit("ill.reports_progress", mark=str(mark))  # until the mark is gone
    wait_for(mark.exists, "the task to run")
    waiting = rig.submit_marked(4)
    wait_for(lambda: rig.messages_ready() == 0, "the messages to be prefetched")
    worker.send_signal(signal.SIGTERM)
    for task_id in waiting:
        rig.wait(task_id, lambda row: row.fields["publish_at"] is not None, limit_s=10)
    assert rig.row(running).status == "STARTED"
    mark.unlink()
    assert rig.finished(running).outcomes == ["SUCCESS"]


def test_what_waits_behind_a_long_attempt_is_due_again_for_others(rig: WorkerRig, mark: Path) -> None:
    rig.start_worker()
    running = rig.submit("ill.reports_progress", mark=str(mark))  # until the mark is gone
    wait_for(mark.exists, "the task to run")
    waiting = rig.submit_marked(4)
    for task_id in waiting:
        rig.wait(task_id, lambda row: row.fields["publish_at"] is not None, limit_s=10)
    assert rig.row(running).status == "STARTED"
    mark.unlink()
    for task_id in waiting:
        assert rig.finished(task_id).outcomes == ["SUCCESS"]


def test_a_killed_pool_process_costs_a_loss_and_the_worker_goes_on(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker()
    task_id = rig.submit("ill.sleeps", seconds=60, mark=str(mark))
    wait_for(mark.exists, "the task to run")
    killed_at = time.monotonic()
    for child in children_of(worker.pid):
        os.kill(child, signal.SIGKILL)
    row = rig.wait(task_id, lambda row: row.outcomes == ["LOST"])
    assert time.monotonic() - killed_at < 4.0
    assert (row.fields["losses"], row.fields["retries"]) == (1, 0)
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"


def test_pool_processes_die_with_a_killed_worker(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker()
    rig.submit("ill.sleeps", seconds=60, mark=str(mark))
    wait_for(mark.exists, "the task to run")
    children = children_of(worker.pid)
    worker.kill()
    wait_for(lambda: all(is_zombie(child) for child in children), "the pool processes to die")


def test_a_late_finish_is_fenced(rig: WorkerRig, mark: Path) -> None:
    worker = rig.start_worker()
    task_id = rig.submit("ill.reports_progress", mark=str(mark))  # until the mark is gone
    wait_for(mark.exists, "the task to run")
    rig.connection.execute("UPDATE live_jobs SET status = 'RETRY', series = 2, token = NULL WHERE task_id = %s", (task_id,))
    mark.unlink()
    rig.finished(rig.submit("tasks.add", x=1, y=1))
    logged = rig.stop_worker(worker)
    row = rig.row(task_id)
    assert (row.status, row.outcomes) == ("RETRY", [])
    assert "job.fenced" in logged


@pytest.mark.parametrize("task", ["ill.sleeps", "ill.sleeps_stubbornly"])
def test_an_attempt_that_is_asked_to_stop_ends_as_revoked(rig: WorkerRig, mark: Path, task: str) -> None:
    worker = rig.start_worker()
    task_id = rig.submit(task, seconds=60, mark=str(mark))
    wait_for(mark.exists, "the task to run")
    forked = [pid for child in children_of(worker.pid) for pid in descendants_of(child)]
    assert len(forked) == (1 if task == "ill.sleeps_stubbornly" else 0)
    rig.connection.execute("UPDATE live_jobs SET cancel_requested = true WHERE task_id = %s", (task_id,))
    row = rig.finished(task_id, limit_s=20)  # the stubborn one is let alone for 12 s
    assert (row.status, row.error and row.error["type"]) == ("REVOKED", "Revoked")
    wait_for(lambda: all(is_zombie(pid) for pid in forked), "what it forked to end")
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"


def test_a_job_that_has_expired_is_not_started(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.accept("tasks.add", x=1, y=1)
    rig.connection.execute("UPDATE live_jobs SET expires_at = now() WHERE task_id = %s", (task_id,))
    rig.publish("tasks.add", task_id)
    rig.finished(rig.submit("tasks.add", x=1, y=1))
    assert "job.dropped" in rig.stop_worker(worker)
    assert rig.row(task_id).status == "PENDING"


def test_progress_is_seen_while_the_task_runs(rig: WorkerRig, mark: Path) -> None:
    rig.start_worker()
    task_id = rig.submit("ill.reports_progress", mark=str(mark))
    wait_for(mark.exists, "the task to report")
    row = rig.row(task_id)
    mark.unlink()
    assert (row.status, row.fields["progress"]) == ("STARTED", '{"done":3,"total":3}')


def test_a_task_calls_another_one_through_the_database(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.submit("ill.calls")
    row = rig.finished(task_id)
    assert row.result is not None
    child_id = UUID(row.result.strip('"'))
    child = rig.row(child_id)
    assert (child.status, child.fields["parent_id"]) == ("PENDING", task_id)
    assert 15 < child.fields["due_in_s"] <= 30
    rig.publish("ill.counts_links", child_id)
    rig.finished(child_id)
    linked = rig.connection.execute("SELECT args FROM jobs WHERE task = 'ill.counts_links' ORDER BY task_id DESC").fetchone()
    assert linked == ('{"total":3,"more":10}',)
    assert "printed by a task" in rig.stop_worker(worker)


def test_a_lost_broker_connection_neither_loses_nor_repeats_the_attempt(rig: WorkerRig, mark: Path) -> None:
    with connection_cutter(rig.settings.broker_url) as (broker_url, cut):
        worker = rig.start_worker(BROKER_URL=broker_url)
        task_id = rig.submit("ill.sleeps", seconds=2.0, mark=str(mark))
        wait_for(mark.exists, "the task to run")
        cut()
        assert rig.finished(task_id).outcomes == ["SUCCESS"]
        assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
        rig.stop_worker(worker)
    assert rig.row(task_id).outcomes == ["SUCCESS"]


@contextmanager
def connection_cutter(broker_url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL that a worker shall use, and what cuts its connections to the broker."""
    if broker_url.startswith("amqp"):
        proxy, url = TcpProxy.before(broker_url)
        yield url, proxy.cut
        proxy.close()
    else:
        with Connection(broker_url) as connection:
            client = connection.default_channel.client
            yield broker_url, lambda: client.client_kill_filter(_type="normal", skipme=True)
