"""Let several processes work on fresh jobs at the same time."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from benchmarks.experiments.schema import accept, fresh_tables

#: Gets ready for these jobs, connection included, and returns what does them.
Prepare = Callable[[Sequence[UUID]], Callable[[], None]]

REPORT_LIMIT_S = 300.0


def measure(prepare: Prepare, processes: int, count: int) -> tuple[float, float]:
    """Share `count` accepted jobs among the processes; return jobs/s and client processor seconds per 1,000 jobs."""
    fork = multiprocessing.get_context("fork")
    with fresh_tables() as connection:
        task_ids = accept(connection, count, batch=500)
        start, reports = fork.Barrier(processes), fork.Queue()
        shares = [task_ids[number::processes] for number in range(processes)]
        children = [fork.Process(target=_work, args=(prepare, share, start, reports)) for share in shares]
        for child in children:
            child.start()
        begins, ends, cpu = zip(*(reports.get(timeout=REPORT_LIMIT_S) for _ in children), strict=True)
        for child in children:
            child.join()
    return count / (max(ends) - min(begins)), sum(cpu) * 1000 / count


def _work(prepare: Prepare, task_ids: Sequence[UUID], start: Any, reports: Any) -> None:
    do = prepare(task_ids)
    start.wait()
    started_at, cpu_before = time.monotonic(), time.process_time()
    do()
    reports.put((started_at, time.monotonic(), time.process_time() - cpu_before))
