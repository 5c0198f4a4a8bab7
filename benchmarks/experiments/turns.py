"""What does it save to write an outcome and to claim the next job in one statement?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.turns [JOBS]

Some processes claim and finish their jobs one after the other; the two ways take turns. Prints jobs/s, processor seconds of
the client per 1,000 jobs, and the medians' ratio.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Final
from uuid import UUID, uuid4

from benchmarks.experiments.processes import measure
from benchmarks.experiments.schema import connect
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


def prepare(do: Work, task_ids: Sequence[UUID]) -> Callable[[], None]:
    """Return what does the jobs on a connection of its own."""
    return partial(do, Statements(connect()), [Wanted(task_id, 1, uuid4()) for task_id in task_ids])


def main(count: int) -> None:
    """Print two lines for each number of processes."""
    for processes in (1, 4):
        rounds = [[measure(partial(prepare, do), processes, count) for do in (apart, together)] for _ in range(ROUNDS)]
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
