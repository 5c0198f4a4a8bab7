"""What one run measures, in which order, and how long."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import report
from benchmarks.measurements import CONNECTIONS, Measure, Sample, end_to_end, execute, submit
from benchmarks.stack import Stack

#: The contestant that the ratios are about.
OURS: Final = "ours"
#: Jobs that warm the workers before the first round.
WARM_UP_JOBS: Final = 400


@dataclass(frozen=True, slots=True)
class Programme:
    """Measurements by name. The first round of each warms up and is not counted."""

    rounds: int
    submit_s: float
    execute_jobs: int
    end_to_end_jobs: int
    names: tuple[str, ...] = ("submit", "execute", "end-to-end")

    def measure(self, stacks: Sequence[Stack]) -> Iterator[str]:
        """Start the stacks and yield each measurement's tables when it is done."""
        for stack in stacks:
            stack.contestant.prepare()
            stack.start_api()
        if "submit" in self.names:
            title = f"Submit: POST /add on {CONNECTIONS} connections, one api process, {self.submit_s:g} s a round"
            yield self._section(title, "requests/s", stacks, submit(self.submit_s))
        stacks = [stack for stack in stacks if stack.contestant.workers()]
        for stack in stacks:
            _warm_up(stack)
        if "execute" in self.names:
            title = f"Execute: {self.execute_jobs:,} queued `add` jobs, four workers, until the last outcome can be read"
            yield self._section(title, "jobs/s", stacks, execute(self.execute_jobs))
        if "end-to-end" in self.names:
            title = f"End to end: {self.end_to_end_jobs:,} jobs over HTTP, first request until last outcome can be read"
            yield self._section(title, "jobs/s", stacks, end_to_end(self.end_to_end_jobs))

    def _section(self, title: str, unit: str, stacks: Sequence[Stack], measure: Measure) -> str:
        samples = in_turn(stacks, self.rounds, measure)
        rounds = f"Medians of {self.rounds} rounds in turn, after one to warm up; in brackets the least and the greatest."
        return f"## {title}\n\n{rounds}\n\n{report.ratios(samples, OURS)}\n\n{report.figures(samples, unit)}\n"


SMALL: Final = Programme(rounds=5, submit_s=2.0, execute_jobs=2000, end_to_end_jobs=2000)
FULL: Final = Programme(rounds=7, submit_s=5.0, execute_jobs=20_000, end_to_end_jobs=10_000)


def in_turn(stacks: Sequence[Stack], rounds: int, measure: Measure) -> dict[str, list[Sample]]:
    """Measure A B A B ... and drop the first round."""
    samples: dict[str, list[Sample]] = {stack.name: [] for stack in stacks}
    for number in range(rounds + 1):
        for stack in stacks:
            sample = measure(stack)
            print(f"  {time.strftime('%X')} round {number}: {stack.name} {sample.rate_per_s:,.0f}/s", file=sys.stderr)
            if number > 0:
                samples[stack.name].append(sample)
    return samples


def _warm_up(stack: Stack) -> None:
    stack.start_workers()
    stack.clear()
    stack.send(CONNECTIONS, count=WARM_UP_JOBS)
    stack.wait_until_finished(WARM_UP_JOBS)
