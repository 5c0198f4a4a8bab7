"""What ends an attempt that would not end by itself, and what is left of its worker: the next job runs, on both brokers."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from core.settings import LEAST_MEMORY_MIB
from tests.contract.worker_rig import WorkerRig, wait_for
from tests.processes import children_of, descendants_of, is_zombie

LIMIT_MIB = 2 * LEAST_MEMORY_MIB


MEMORY_ENDINGS: list[tuple[str, dict[str, Any], str]] = [
    ("ill.leaks", {"mib": LIMIT_MIB, "seconds": 60.0}, "FAILURE"),
    ("ill.leaks_and_retries", {"mib": LIMIT_MIB}, "RETRY"),
    ("ill.leaks_and_does_not_retry", {"mib": LIMIT_MIB}, "FAILURE"),
]


def test_attempt_beyond_the_memory_limit_ends_alone(rig: WorkerRig) -> None:
    worker = rig.start_worker(MEMORY_LIMIT_MIB=str(LIMIT_MIB))
    jobs = [(rig.submit(task, **args), status) for task, args, status in MEMORY_ENDINGS]
    for task_id, status in jobs:
        row = rig.wait(task_id, lambda row: row.outcomes == ["FAILURE"])
        assert row.error is not None
        assert (row.status, row.error["type"]) == (status, "MemoryLimitExceeded")
        said = rf"the attempt's process used \d+ MiB, more than its limit of {LIMIT_MIB} MiB \(MEMORY_LIMIT_MIB\)"
        assert re.fullmatch(said, row.error["message"])
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
    rig.stop_worker(worker)
    assert rig.messages_left() == 0


def test_slow_leak_costs_processes_and_no_job(rig: WorkerRig) -> None:
    worker = rig.start_worker(MEMORY_LIMIT_MIB=str(LIMIT_MIB))
    jobs = [rig.submit("ill.leaks", mib=12, seconds=0.03) for _ in range(40)]  # twice the limit
    rows = [rig.finished(task_id) for task_id in jobs]
    assert {(row.status, *row.outcomes) for row in rows} == {("SUCCESS", "SUCCESS")}
    assert len({row.result for row in rows}) >= 3
    assert "process.retired" in rig.stop_worker(worker)


def test_without_a_limit_a_process_keeps_what_it_has(rig: WorkerRig) -> None:
    rig.start_worker()
    jobs = [rig.submit("ill.leaks", mib=LIMIT_MIB, seconds=seconds) for seconds in (0.8, 0.0)]
    assert len({rig.finished(task_id).result for task_id in jobs}) == 1


@pytest.mark.parametrize("task", ["ill.ignores_sigterm", "ill.blocks_all_signals", "ill.hangs_in_c", "ill.forks"])
def test_hard_time_limit_ends_everything(rig: WorkerRig, mark: Path, task: str) -> None:
    worker = rig.start_worker()
    task_id = rig.submit(task, mark=str(mark))
    rig.wait(task_id, lambda row: row.status == "STARTED")
    worker.send_signal(signal.SIGSTOP)  # it ends nothing before we have looked
    wait_for(mark.exists, "the task to run")
    descendants = descendants_of(worker.pid)
    worker.send_signal(signal.SIGCONT)
    assert len(descendants) == (3 if task == "ill.forks" else 1)
    row = rig.finished(task_id)
    assert (row.status, row.error and row.error["type"]) == ("FAILURE", "TimeLimitExceeded")
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
    wait_for(lambda: all(is_zombie(process) for process in descendants), "all processes of the attempt to end")
    assert len(children_of(worker.pid)) == 1
