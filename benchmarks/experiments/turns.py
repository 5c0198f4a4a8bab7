"""What does it save to write an outcome and to claim the next job in one statement, and several of them?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.turns [JOBS]

Some processes claim and finish their jobs one after the other; the ways take turns. Prints jobs/s, processor seconds of the
client per 1,000 jobs, and how many times the rate of the first way.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Final
from uuid import UUID, uuid4

from benchmarks.experiments.processes import measure
from benchmarks.experiments.schema import connect
from worker.attempt_store import CLAIM, TURN, Wanted, turn_parameters
from worker.connection import SESSION, Statements
from worker.outcome import Attempt, Succeeded

ROUNDS: Final = 5
WORKER: Final = {"worker": "experiment"}

Work = Callable[[Statements, Sequence[Wanted]], None]


def claim(statements: Statements, job: Wanted) -> None:
    """Claim one job."""
    identity = {"task_id": job.task_id, "series": job.series, "token": job.token}
    assert len(statements.execute(CLAIM, identity | WORKER)) == 1


def turn(statements: Statements, ended: Sequence[Wanted], following: Sequence[Wanted]) -> None:
    """End jobs and claim others."""
    outcomes = [(Attempt(job.task_id, job.token, "tasks.add"), Succeeded("5")) for job in ended]
    rows = statements.execute(TURN, turn_parameters(outcomes, following) | WORKER)
    assert len(rows) == len(ended) + len(following)


def apart(statements: Statements, jobs: Sequence[Wanted]) -> None:
    """Claim and finish: two statements for each job."""
    for job in jobs:
        claim(statements, job)
        turn(statements, [job], [])


def together(at_once: int, statements: Statements, jobs: Sequence[Wanted]) -> None:
    """Claim the first, then turn from some to the next."""
    claim(statements, jobs[0])
    groups = [jobs[:1], *(jobs[start : start + at_once] for start in range(1, len(jobs), at_once)), []]
    for ended, following in pairwise(groups):
        turn(statements, ended, following)


WAYS: Final[dict[str, Work]] = {"apart": apart, **{f"{n} at once": partial(together, n) for n in (1, 2, 4, 8)}}


def prepare(do: Work, task_ids: Sequence[UUID]) -> Callable[[], None]:
    """Return what does the jobs on a connection of its own."""
    connection = connect()
    for setting in SESSION:
        connection.execute(f"SET {setting}".encode())
    return partial(do, Statements(connection), [Wanted(task_id, 1, uuid4()) for task_id in task_ids])


def main(count: int) -> None:
    """Print a line for each way and number of processes."""
    for processes in (1, 4):
        rounds = [[measure(partial(prepare, do), processes, count) for do in WAYS.values()] for _ in range(ROUNDS)]
        medians = [tuple(map(median, zip(*figures, strict=True))) for figures in zip(*rounds, strict=True)]
        for name, (rate, cpu) in zip(WAYS, medians, strict=True):
            print(
                f"{processes} processes, {name + ':':11} {rate:7,.0f} jobs/s, client {cpu:.3f} CPU s per 1,000, "
                f"{rate / medians[0][0]:.2f} times the rate"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
