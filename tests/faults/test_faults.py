"""Five ways to break the service while jobs are submitted and run. Nothing is lost, stuck, or recorded twice.

FAULT_JOBS=5000 makes the load larger than the 500 jobs per case of the short form.
"""

import time

import pytest

from tests.faults.checker import Verdict
from tests.faults.faulty_stack import DRAIN_LIMIT_S, JOBS, FaultyStack
from tests.faults.load import Load

pytestmark = pytest.mark.timeout(3 * DRAIN_LIMIT_S)


def test_killed_workers_lose_nothing(faulty: FaultyStack, figures: list[str]) -> None:
    workers = faulty.stack.workers
    with faulty.load("workers") as load:
        load.release(0.5)
        faulty.wait_finished(0.1)
        workers[0].kill()
        faulty.wait_finished(0.2)
        for worker in workers[1:3]:
            worker.kill_children()
        faulty.wait_finished(0.4)
        load.release()
        for worker in workers:
            worker.kill()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=1 + 2 + len(workers))
    _check(faulty, load, verdict, "kill -9 of workers", figures)


def test_killed_api_and_scheduler_lose_nothing(faulty: FaultyStack, figures: list[str]) -> None:
    with faulty.load("api") as load:
        for share in (0.25, 0.5, 0.75):
            load.release(share)
            load.wait_accepted(share - 0.15)
            faulty.stack.api.kill()
            faulty.stack.scheduler.kill()
        disturbed_at = time.time()
        load.release()
        verdict = faulty.conclude(load, disturbed_at, extra_executions_bound=0)
    assert load.refusals
    _check(faulty, load, verdict, "kill -9 of api and scheduler", figures)


def test_restarted_broker_loses_nothing(faulty: FaultyStack, figures: list[str]) -> None:
    with faulty.load("restart") as load:
        load.release(0.5)
        faulty.wait_finished(0.2)
        faulty.broker.stop()
        load.release()
        load.wait_accepted()
        faulty.broker.start()
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    assert not load.refusals
    _check(faulty, load, verdict, "broker stopped and restarted", figures)


def test_wiped_broker_loses_nothing(faulty: FaultyStack, figures: list[str]) -> None:
    with faulty.load("wipe") as load:
        load.release()
        load.wait_accepted()
        faulty.wait_finished(0.1)
        assert faulty.messages_ready() > 0
        faulty.broker.wipe()
        faulty.broker.start()
        assert faulty.messages_ready() == 0
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    _check(faulty, load, verdict, "broker wiped", figures)


def test_killed_database_loses_nothing(faulty: FaultyStack, figures: list[str]) -> None:
    workers = faulty.stack.workers
    with faulty.load("database") as load:
        load.release(0.5)
        faulty.wait_finished(0.2)
        load.release()
        faulty.database.kill()
        load.wait_refused()
        faulty.database.start()
        # a claim may be forgotten (its commit does not wait for the disk), so each slot may have to run its job again
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=len(workers))
    _check(faulty, load, verdict, "kill -9 of the database", figures)


def _check(faulty: FaultyStack, load: Load, verdict: Verdict, case: str, figures: list[str]) -> None:
    figures.append(f"{case}, {faulty.broker.engine.name}: {verdict}")
    print(figures[-1], dict(load.refusals))
    assert (verdict.accepted, verdict.finished) == (JOBS, JOBS)
    assert (verdict.lost, verdict.stuck, verdict.wrong, verdict.duplicate_outcomes) == (0, 0, 0, 0)
    assert 0 <= verdict.extra_executions <= verdict.extra_executions_bound
    assert faulty.checker.repeated_attempts() == []
    keys = faulty.checker.jobs_with_key()
    assert set(keys) == load.keys
    assert set(keys.values()) <= {1}
