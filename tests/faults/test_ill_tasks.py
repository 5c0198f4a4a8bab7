"""Tasks that kill their process or worker, leak, hang, or ignore signals. They end; no other job and no worker suffers."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.engines import wait_until
from tests.faults.faulty_stack import FaultyStack
from tests.faults.ground import StartFaulty
from tests.faults.links import Environments
from tests.faults.report import Report
from tests.faults.sizes import on_each_broker, size
from tests.processes import children_of, is_zombie
from tests.stack import WORKERS

#: What a leaking task takes at once: far below what would trouble the machine.
LEAK_MIB: Final = 256
GOOD: Final = size(50, 500)
PROCESS_KILLERS: Final = size(5, 50)
WORKER_KILLERS: Final = size(1, 5)
OF_EACH_LIMIT: Final = size(3, 20)
MAX_LOSSES: Final = size(2, 5)

#: A worker that is killed is missed after 4 s and must start again; its job needs that MAX_LOSSES times.
LOSSES_LIMIT_S: Final = 30.0 * MAX_LOSSES
LIMITS_LIMIT_S: Final = 30.0 + 3.0 * OF_EACH_LIMIT
WHOLE_LIMIT_S: Final = 30.0

_JOBS: Final = """
SELECT task, status, result, error, args::json ->> 'number' AS number,
    (SELECT array_agg(outcome ORDER BY series) FROM attempts a WHERE a.task_id = j.task_id) AS attempts
FROM jobs j
"""

#: Task, status, type of the error, outcomes of the attempts.
Ending = tuple[str, str, str | None, tuple[str, ...]]

pytestmark = pytest.mark.timeout(600)


@on_each_broker(short="rabbitmq")
def test_killers_of_processes_and_workers_end_and_no_other_job_suffers(start_faulty: StartFaulty, report: Report) -> None:
    ill = start_faulty(_environments)
    killers = {"ill.kills_its_process": PROCESS_KILLERS, "ill.kills_its_worker": WORKER_KILLERS}
    begun_at = time.monotonic()
    jobs = _run(ill, {"ill.works": GOOD, **killers}, LOSSES_LIMIT_S)
    ended_s = time.monotonic() - begun_at
    expected: dict[Ending, int] = {
        ("ill.works", "SUCCESS", None, ("SUCCESS",)): GOOD,
        **{(task, "FAILURE", "WorkerLost", ("LOST",) * MAX_LOSSES): count for task, count in killers.items()},
    }
    assert _endings(jobs) == expected
    report.add(
        f"{PROCESS_KILLERS} jobs that kill their process, {WORKER_KILLERS} that kill their worker, among {GOOD} good ones",
        ill.broker.engine.name,
        all_ended_after=f"{ended_s:.1f} s",
        good_ones_that_failed_or_ran_twice=0,
    )
    ill.stack.wait_until_ready()
    _check_whole(ill)


@on_each_broker(short="valkey")
def test_limits_end_what_leaks_hangs_or_ignores_signals_and_the_pool_stays_whole(
    start_faulty: StartFaulty, report: Report
) -> None:
    ill = start_faulty(_environments)
    parents = [worker.pid for worker in ill.stack.workers]
    limited = {
        "ill.leaks": "MemoryLimitExceeded",
        "ill.hangs": "TimeLimitExceeded",
        "ill.ignores_sigterm": "TimeLimitExceeded",
    }
    begun_at = time.monotonic()
    jobs = _run(ill, {"ill.works": GOOD, **dict.fromkeys(limited, OF_EACH_LIMIT)}, LIMITS_LIMIT_S)
    ended_s = time.monotonic() - begun_at
    expected: dict[Ending, int] = {
        ("ill.works", "SUCCESS", None, ("SUCCESS",)): GOOD,
        **{(task, "FAILURE", error, ("FAILURE",)): OF_EACH_LIMIT for task, error in limited.items()},
    }
    assert _endings(jobs) == expected
    report.add(
        f"{OF_EACH_LIMIT} jobs each that leak, hang, and ignore SIGTERM, among {GOOD} good ones",
        ill.broker.engine.name,
        all_ended_after=f"{ended_s:.1f} s",
        good_ones_that_failed_or_ran_twice=0,
    )
    assert [worker.pid for worker in ill.stack.workers] == parents
    _check_whole(ill)


def _environments(_database_url: str, _broker_url: str) -> Environments:
    low_limits = {"MAX_LOSSES": str(MAX_LOSSES), "MEMORY_LIMIT_MIB": str(LEAK_MIB)}
    return {"": {"TASK_MODULES": "tests.faults.ill_tasks", **low_limits}}


def _run(ill: FaultyStack, counts: Mapping[str, int], limit_s: float) -> list[dict[str, Any]]:
    """Submit so many jobs of each task, mixed, and return all when the last has finished."""
    ill.checker.begin()
    tasks = [task for task, count in counts.items() for _ in range(count)]
    Random(0).shuffle(tasks)
    for number, task in enumerate(tasks):
        ill.stack.client.submit(task, number=number)
    ill.checker.wait_drained(limit_s)
    with psycopg.connect(ill.stack.database_url, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(_JOBS).fetchall()


def _endings(jobs: list[dict[str, Any]]) -> Counter[Ending]:
    """Count how the jobs ended. Raises AssertionError for a wrong result."""
    for job in jobs:
        assert job["result"] == (str(int(job["number"]) ** 2) if job["status"] == "SUCCESS" else None), job
    return Counter(
        (job["task"], job["status"], json.loads(job["error"])["type"] if job["error"] else None, tuple(job["attempts"]))
        for job in jobs
    )


def _check_whole(ill: FaultyStack) -> None:
    """See to it that each worker has its one process again, and that all of them run the next jobs."""
    wait_until(
        lambda: [_living(worker.pid) for worker in ill.stack.workers] == [1] * WORKERS, WHOLE_LIMIT_S, "pools are whole"
    )
    assert _endings(_run(ill, {"ill.works": GOOD}, WHOLE_LIMIT_S)) == {("ill.works", "SUCCESS", None, ("SUCCESS",)): GOOD}


def _living(pid: int | None) -> int:
    return sum(not is_zombie(child) for child in children_of(pid)) if pid is not None else 0
