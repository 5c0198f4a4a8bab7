"""kill -9 of every part, and of the database."""

import itertools
import time
from typing import Final

import pytest

from tests.faults.faulty_stack import FaultyStack, judge
from tests.faults.ground import StartFaulty
from tests.faults.links import LinkedStack
from tests.faults.load import SHORT_MIX, submit_in_batches
from tests.faults.report import Report
from tests.faults.sizes import on_each_broker, size
from tests.stack import WORKERS
from tests.supervised import SupervisedPart
from worker.ledger import MOST_AT_ONCE

pytestmark = pytest.mark.timeout(size(180, 1800))

#: Slots of the workers together: each has one.
SLOTS: Final = WORKERS
#: A job whose worker was killed runs again within this time.
RECOVERY_LIMIT_S: Final = 8.0
#: An answer while the database is away.
REFUSAL_LIMIT_S: Final = 3.0
HOLD_LIMIT_S: Final = 20.0


def test_killed_workers_and_restarted_brokers(faulty: FaultyStack, report: Report) -> None:
    kills, restarts = size(4, 20), size(1, 5)
    jobs = size(300, 10_000)
    workers = itertools.cycle(faulty.stack.workers)
    with faulty.load("workers", jobs) as load:
        load.release()
        for number in range(1, kills + 1):
            faulty.checker.wait_finished(jobs * number // (kills + 2), limit_s=120)
            _kill(next(workers), is_process_only=number % 4 == 0)
            if number % (kills // restarts) == 0:
                faulty.broker.restart()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=kills + SLOTS * restarts)
    report.add(
        f"{kills} x kill -9 of a worker or its process, {restarts} x restart of the broker",
        faulty.broker.engine.name,
        verdict,
    )
    assert verdict.is_good, verdict


def test_killed_workers_amid_very_short_attempts(faulty: FaultyStack, report: Report) -> None:
    """Several of them share a commit: what a worker had not committed yet when it was killed runs again."""
    kills, jobs = size(2, 10), size(2_000, 20_000)
    workers = itertools.cycle(faulty.stack.workers)
    faulty.begin()
    accepted = submit_in_batches(faulty.stack.client, "short", jobs, SHORT_MIX)
    for number in range(1, kills + 1):
        faulty.checker.wait_finished(jobs * number // (kills + 2), limit_s=120)
        _kill(next(workers), is_process_only=number % 2 == 0)
    verdict = judge(faulty.checker, accepted, time.time(), extra_executions_bound=kills * MOST_AT_ONCE)
    report.add(f"{kills} x kill -9 of a worker or its process amid very short attempts", faulty.broker.engine.name, verdict)
    assert verdict.is_good, verdict


def test_job_of_a_killed_worker_runs_again(faulty: FaultyStack, report: Report) -> None:
    waits = []
    for number in range(size(1, 5)):
        faulty.begin()
        task_id = faulty.stack.client.submit("effects.long", number=number, seconds=2.0)
        faulty.checker.wait_claimed(1)
        killed_at = time.time()
        (attempt,) = faulty.stack.client.job(task_id)["attempt_log"]
        faulty.stack.worker_of(attempt["worker"]).kill()
        assert faulty.stack.client.finished(task_id, 30.0)["result"] == number * number
        waits.append(faulty.checker.last_start(task_id) - killed_at)
    report.add(
        f"{len(waits)} x kill -9 of a worker that runs a job",
        faulty.broker.engine.name,
        runs_again_after=f"{max(waits):.1f} s at most",
    )
    assert max(waits) < RECOVERY_LIMIT_S


def test_killed_api(faulty: FaultyStack, report: Report) -> None:
    kills, jobs = size(2, 100), size(100, 5_000)
    with faulty.load("api", jobs) as load:
        load.release()
        for number in range(1, kills + 1):
            load.wait_accepted(number / (kills + 2), limit_s=120)
            faulty.stack.api.kill()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    report.add(f"{kills} x kill -9 of the api", faulty.broker.engine.name, verdict)
    assert load.refusals
    assert verdict.is_good, verdict


def test_scheduler_killed_between_publishing_and_marking(linked: LinkedStack, report: Report) -> None:
    kills, jobs = size(2, 50), size(100, 5_000)
    faulty, proxy = linked.faulty, linked.links.scheduler_broker
    with faulty.load("between", jobs) as load:
        for number in range(1, kills + 1):
            proxy.hold_replies_after(b"effects.")
            load.release(number / kills)
            assert proxy.wait_until_held(HOLD_LIMIT_S)
            faulty.stack.scheduler.kill()
            proxy.drop_replies()
            faulty.stack.wait_until_ready()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    report.add(f"{kills} x kill -9 of the scheduler between publishing and marking", faulty.broker.engine.name, verdict)
    assert verdict.is_good, verdict


@on_each_broker(short="valkey")
def test_two_schedulers_killed_in_turn(start_faulty: StartFaulty, report: Report) -> None:
    kills, jobs = size(3, 20), size(150, 5_000)
    faulty = start_faulty()
    standby = faulty.stack.add_standby()
    standby.start()
    schedulers = itertools.cycle([faulty.stack.scheduler, standby])
    with faulty.load("schedulers", jobs) as load:
        load.release()
        for number in range(1, kills + 1):
            faulty.checker.wait_finished(jobs * number // (kills + 2), limit_s=120)
            next(schedulers).kill()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    report.add(f"{kills} x kill -9 of one of two schedulers", faulty.broker.engine.name, verdict)
    assert verdict.is_good, verdict


def test_killed_database(faulty: FaultyStack, report: Report) -> None:
    kills, jobs = size(1, 5), size(200, 5_000)
    with faulty.load("database", jobs) as load:
        for number in range(1, kills + 1):
            faulty.checker.wait_finished(jobs * (number - 1) // (kills + 1), limit_s=120)
            load.release(number / kills)
            faulty.database.kill()
            load.wait_refused()
            faulty.database.start()
        # a claim may be forgotten (its commit does not wait for the disk), so each slot may have to run its job again
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=SLOTS * kills)
    report.add(
        f"{kills} x kill -9 of the database",
        faulty.broker.engine.name,
        verdict,
        refusals=load.refusals_text,
        slowest_answer=f"{load.slowest_s:.2f} s",
    )
    assert verdict.is_good, verdict
    assert set(load.refusals) == {"503"}
    assert load.slowest_s < REFUSAL_LIMIT_S


def _kill(worker: SupervisedPart, *, is_process_only: bool) -> None:
    """kill -9 a worker, or its pool process alone."""
    if is_process_only:
        worker.kill_children()
    else:
        worker.kill()
