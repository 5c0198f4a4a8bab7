"""More workers, fewer workers, and a restart of every part in turn: nobody who waits for a job notices."""

import time
from typing import Final

import pytest

from tests.faults.ground import StartFaulty
from tests.faults.report import Report
from tests.faults.sizes import on_each_broker, size
from tests.stack import STOP_LIMIT_S, WORKERS

JOBS: Final = size(200, 5_000)
MOST_WORKERS: Final = size(6, 12)

pytestmark = pytest.mark.timeout(size(180, 900))


@on_each_broker(short="rabbitmq")
def test_scaling_and_a_rolling_restart(start_faulty: StartFaulty, report: Report) -> None:
    faulty = start_faulty()
    stack = faulty.stack
    with faulty.load("scaling", JOBS) as load:
        load.release(0.8)
        faulty.checker.wait_finished(JOBS // 10)
        added = stack.add_workers(MOST_WORKERS - WORKERS)
        for worker in added:
            worker.start()
        stack.wait_until_ready()
        faulty.checker.wait_finished(JOBS // 2)
        for worker in added:
            worker.ask_to_stop()
        codes = [worker.wait_until_stopped(STOP_LIMIT_S) for worker in added]
        for worker in added:
            stack.workers.remove(worker)
        load.release(0.95)
        for part in stack.parts:
            part.restart(STOP_LIMIT_S)
            stack.wait_until_ready()
        restarted_at = time.time()
        load.release()
        verdict = faulty.conclude(load, restarted_at, extra_executions_bound=0)
    report.add(
        f"{WORKERS} workers, then {MOST_WORKERS}, then {WORKERS}; every part restarted in turn",
        faulty.broker.engine.name,
        verdict,
    )
    assert codes == [0] * len(added)
    assert verdict.is_good, verdict
