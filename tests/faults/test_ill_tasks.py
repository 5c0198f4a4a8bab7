"""Tasks that kill their process or their worker, leak, hang, or ignore signals. Each ends; no other job and no worker does.

FAULTS=full ./dev test tests/faults/test_ill_tasks.py is the long form.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import ENGINES
from tests.engines import wait_until
from tests.faults.faulty_stack import FaultyStack
from tests.faults.ill_tasks import LEAK_MIB
from tests.processes import children_of, is_zombie
from tests.stack import WORKERS, Stack

IS_FULL: Final = os.environ.get("FAULTS") == "full"
GOOD: Final = 500 if IS_FULL else 50
PROCESS_KILLERS: Final = 50 if IS_FULL else 5
WORKER_KILLERS: Final = 5 if IS_FULL else 1
OF_EACH_LIMIT: Final = 20 if IS_FULL else 3
MAX_LOSSES: Final = 5 if IS_FULL else 2

#: A worker that is killed is missed after 4 s and must start again; its job needs that MAX_LOSSES times.
LOSSES_LIMIT_S: Final = 30.0 * MAX_LOSSES
LIMITS_LIMIT_S: Final = 30.0 + 3.0 * OF_EACH_LIMIT
WHOLE_LIMIT_S: Final = 30.0

_JOBS: Final = """
SELECT task, status, result, error, args::json ->> 'number' AS number,
    (SELECT array_agg(outcome ORDER BY series) FROM attempts a WHERE a.task_id = j.task_id) AS attempts
FROM jobs j
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def ill(faulty: FaultyStack, engine_directory: Path, request: pytest.FixtureRequest) -> Iterator[FaultyStack]:
    """A service of its own on the same engines, whose tasks are ill and whose limits are low; the other one waits."""
    faulty.stack.kill()
    environment = {
        "TASK_MODULES": "tests.faults.ill_tasks",
        "MAX_LOSSES": str(MAX_LOSSES),
        "MEMORY_LIMIT_MIB": str(LEAK_MIB),
    }
    directory = engine_directory / f"ill-{faulty.broker.engine.name}"
    stack = Stack(directory, faulty.stack.database_url, faulty.stack.broker_url, environment)
    request.config.stash[ENGINES].append(stack)  # it has pids, and ends with the run
    stack.start()
    yield FaultyStack(stack, faulty.checker, faulty.broker, faulty.database)
    stack.kill()
    faulty.stack.start()


def test_killers_of_processes_and_workers_end_and_no_other_job_suffers(ill: FaultyStack, figures: list[str]) -> None:
    killers = {"ill.kills_its_process": PROCESS_KILLERS, "ill.kills_its_worker": WORKER_KILLERS}
    begun_at = time.monotonic()
    jobs = _run(ill, {"ill.works": GOOD, **killers}, LOSSES_LIMIT_S)
    figures.append(
        f"killers {killers} among {GOOD} good, {ill.broker.engine.name}: all ended after {time.monotonic() - begun_at:.1f} s"
    )
    assert _endings(jobs) == {
        ("ill.works", "SUCCESS", None, ("SUCCESS",)): GOOD,
        **{(task, "FAILURE", "WorkerLost", ("LOST",) * MAX_LOSSES): count for task, count in killers.items()},
    }
    ill.stack.wait_until_ready()
    _check_whole(ill)


def test_limits_end_what_leaks_hangs_or_ignores_signals_and_the_pool_stays_whole(
    ill: FaultyStack, figures: list[str]
) -> None:
    ill.stack.wait_until_ready()
    parents = [worker.pid for worker in ill.stack.workers]
    limited = {
        "ill.leaks": "MemoryLimitExceeded",
        "ill.hangs": "TimeLimitExceeded",
        "ill.ignores_sigterm": "TimeLimitExceeded",
    }
    begun_at = time.monotonic()
    jobs = _run(ill, {"ill.works": GOOD, **dict.fromkeys(limited, OF_EACH_LIMIT)}, LIMITS_LIMIT_S)
    figures.append(
        f"{OF_EACH_LIMIT} each of {', '.join(limited)}, {ill.broker.engine.name}: "
        f"all ended after {time.monotonic() - begun_at:.1f} s"
    )
    assert _endings(jobs) == {
        ("ill.works", "SUCCESS", None, ("SUCCESS",)): GOOD,
        **{(task, "FAILURE", error, ("FAILURE",)): OF_EACH_LIMIT for task, error in limited.items()},
    }
    assert [worker.pid for worker in ill.stack.workers] == parents
    _check_whole(ill)


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


def _endings(jobs: list[dict[str, Any]]) -> Counter[tuple[str, str, str | None, tuple[str, ...]]]:
    """Count task, status, type of the error, outcomes of the attempts. Raises AssertionError for a wrong result."""
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
