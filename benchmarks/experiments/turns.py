"""What does it save to write an outcome and to claim the next job in one statement?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.turns [JOBS]

Some processes claim and finish their jobs one after the other; the two ways take turns. Prints jobs/s, processor seconds of
the client per 1,000 jobs, and the medians' ratio.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any, Final
from uuid import UUID, uuid4

from benchmarks.experiments.schema import accept, connect, fresh_tables
from worker.attempt_store import CLAIM, TURN, Wanted, next_parameters
from worker.connection import Statements

ROUNDS: Final = 5
OUTCOME: Final = {"status": "SUCCESS", "result": "5", "error": None, "traceback": None}
WORKER: Final = {"worker": "experiment"}

Work = Callable[[Statements, Sequence[Wanted]], None]


def apart(statements: Statements, jobs: Sequence[Wanted]) -> None:
    """Claim and finish: two statements for each job."""
    for job in jobs:
        identity = {"task_id": job.task_id, "token": job.token} | WORKER
        assert len(statements.execute(CLAIM, identity | {"series": job.series})) == 1
        ((status, *_),) = statements.execute(TURN, identity | OUTCOME | next_parameters(None))
        assert status == "SUCCESS"


def together(statements: Statements, jobs: Sequence[Wanted]) -> None:
    """Claim the first, then turn from each to the next."""
    statements.execute(CLAIM, {"task_id": jobs[0].task_id, "series": jobs[0].series, "token": jobs[0].token} | WORKER)
    for job, following in zip(jobs, [*jobs[1:], None], strict=True):
        identity = {"task_id": job.task_id, "token": job.token} | WORKER
        ((status, args, *_),) = statements.execute(TURN, identity | OUTCOME | next_parameters(following))
        assert (status, args is None) == ("SUCCESS", following is None)


def work(do: Work, task_ids: Sequence[UUID], start: Any, reports: Any) -> None:
    """Run in a process of its own; report when it began and ended and what it cost."""
    statements, jobs = Statements(connect()), [Wanted(task_id, 1, uuid4()) for task_id in task_ids]
    start.wait()
    started_at, cpu_before = time.monotonic(), time.process_time()
    do(statements, jobs)
    reports.put((started_at, time.monotonic(), time.process_time() - cpu_before))


def measure(do: Work, processes: int, count: int) -> tuple[float, float]:
    """Return jobs/s and client processor seconds per 1,000 jobs."""
    fork = multiprocessing.get_context("fork")
    with fresh_tables() as connection:
        task_ids = accept(connection, count, batch=500)
        start, reports = fork.Barrier(processes), fork.Queue()
        run = partial(work, do)
        children = [fork.Process(target=run, args=(task_ids[n::processes], start, reports)) for n in range(processes)]
        for child in children:
            child.start()
        begins, ends, cpu = zip(*(reports.get(timeout=300) for _ in children), strict=True)
        for child in children:
            child.join()
    return count / (max(ends) - min(begins)), sum(cpu) * 1000 / count


def main(count: int) -> None:
    """Print two lines for each number of processes."""
    for processes in (1, 4):
        rounds = [(measure(apart, processes, count), measure(together, processes, count)) for _ in range(ROUNDS)]
        (rate_apart, cpu_apart), (rate_together, cpu_together) = (
            tuple(map(median, zip(*figures, strict=True))) for figures in zip(*rounds, strict=True)
        )
        print(f"{processes} processes, apart:    {rate_apart:7,.0f} jobs/s, client {cpu_apart:.3f} CPU s per 1,000")
        print(
            f"{processes} processes, together: {rate_together:7,.0f} jobs/s, client {cpu_together:.3f} CPU s per 1,000:"
            f" {rate_together / rate_apart:.2f} times the rate"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
