"""What one run measures, in which order, and how long."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks import growth, report
from benchmarks.findings import BATCHES, OURS, SINGLES, Findings, submit_key
from benchmarks.losses import measure_again_if_lost
from benchmarks.measurements import (
    CONNECTIONS,
    Measure,
    end_to_end,
    execute,
    publish_batches,
    publish_singles,
    status,
    submit,
)
from benchmarks.report import CPU, P50, P99, RATE, Ratio
from benchmarks.round_trips import round_trip, round_trip_at_half_load
from benchmarks.samples import Sample, Samples
from benchmarks.stack import Stack

#: Jobs that warm the workers before the first round.
WARM_UP_JOBS: Final = 400
BATCH_SIZE: Final = 1000
LEVELS: Final = (1, 16, 64, 256)

#: By its name, what makes one sample.
Entries = Mapping[str, Callable[[], Sample]]
#: Measures these stacks and yields tables.
Step = Callable[[Sequence[Stack], Findings], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Programme:
    """Measurements by name, with their sizes. The first round of each warms up and is not counted."""

    rounds: int
    submit_s: float
    batch_jobs: int
    execute_jobs: int
    end_to_end_jobs: int
    round_trip_s: float
    capacity_jobs: int
    status_s: float
    growth_rounds: int
    growth_s: float
    finished: tuple[int, ...]
    queued: int
    idle_s: float
    memory_jobs: int
    names: tuple[str, ...] = ("submit", "batch", "execute", "end-to-end", "round-trip", "status", "growth", "memory")

    def measure(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        """Start the stacks and yield each measurement's tables when it is done. Memory is measured elsewhere, alone."""
        if self.names == ("memory",):
            return
        for stack in stacks:
            stack.contestant.prepare()
            stack.start_api()
        working = [stack for stack in stacks if stack.contestant.runs_jobs]
        ours = [stack for stack in stacks if stack.name == OURS]
        yield from self._run({"submit": (self._submit, stacks), "batch": (self._batch, ours)}, findings)
        with_workers = {
            "execute": (self._execute, working),
            "end-to-end": (self._end_to_end, working),
            "round-trip": (self._round_trip, working),
            "status": (self._status, stacks),
            "growth": (self._growth, ours),
        }
        if not set(with_workers).isdisjoint(self.names):
            for stack in working:
                _warm_up(stack)
            yield from self._run(with_workers, findings)

    def _run(self, steps: Mapping[str, tuple[Step, Sequence[Stack]]], findings: Findings) -> Iterator[str]:
        for name, (step, stacks) in steps.items():
            if name in self.names and stacks:
                yield from step(stacks, findings)

    def _submit(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        for connections in LEVELS:
            plural = "s" * (connections > 1)
            title = f"Submit: POST /add on {connections} connection{plural}, one api process, {self.submit_s:g} s a round"
            samples = self._in_turn(_entries(stacks, submit(self.submit_s, connections)), findings)
            findings.samples[submit_key(connections)] = samples
            yield self._section(title, "requests/s", samples)

    def _batch(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        measures = {
            BATCHES: publish_batches(self.batch_jobs, BATCH_SIZE),
            SINGLES: publish_singles(self.batch_jobs),
        }
        samples = self._in_turn({name: partial(measure, stacks[0]) for name, measure in measures.items()}, findings)
        findings.samples["batch"] = samples
        title = f"Batch: {self.batch_jobs:,} jobs in batches of {BATCH_SIZE:,} or one by one, until the last is published"
        yield self._section(title, "jobs/s", samples, base=BATCHES)

    def _execute(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        samples = self._in_turn(_entries(stacks, execute(self.execute_jobs)), findings)
        findings.samples["execute"] = samples
        title = f"Execute: {self.execute_jobs:,} queued `add` jobs, four workers, until the last outcome can be read"
        yield self._section(title, "jobs/s", samples)

    def _end_to_end(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        samples = self._in_turn(_entries(stacks, end_to_end(self.end_to_end_jobs)), findings)
        findings.samples["end-to-end"] = samples
        title = f"End to end: {self.end_to_end_jobs:,} jobs over HTTP, first request until last outcome can be read"
        yield self._section(title, "jobs/s", samples)

    def _round_trip(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        measures = {
            "idle": round_trip(self.round_trip_s),
            "at half load": round_trip_at_half_load(self.round_trip_s, self.capacity_jobs),
        }
        for name, measure in measures.items():
            samples = self._in_turn(_entries(stacks, measure), findings)
            findings.samples[f"round-trip {name}"] = samples
            title = f"Round trip, {name}: one client submits and waits for the result, {self.round_trip_s:g} s a round"
            yield self._section(title, "round trips/s", samples, columns=(P50, P99))

    def _status(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        samples = self._in_turn(_entries(stacks, status(self.status_s)), findings)
        findings.samples["status"] = samples
        title = f"Status: GET /status/{{id}} of finished jobs on {CONNECTIONS} connections; echo: a bare GET"
        yield self._section(title, "requests/s", samples)

    def _growth(self, stacks: Sequence[Stack], findings: Findings) -> Iterator[str]:
        made = growth.states(stacks[0], self.growth_s, self.finished, self.queued)
        submissions: dict[str, list[Sample]] = {name: [] for name in made}
        trips: dict[str, list[Sample]] = {name: [] for name in made}
        for number in range(self.growth_rounds + 1):
            for name, measure in made.items():
                submitted, tripped = measure()
                _note(number, name, submitted)
                if number > 0:
                    submissions[name].append(submitted)
                    trips[name].append(tripped)
        findings.samples.update({"growth submit": submissions, "growth round-trip": trips})
        head = f"## Growth: {OURS}, with many jobs in the table\n\n{_rounds(self.growth_rounds)}\n\n"
        yield head + report.growth(submissions, trips, growth.EMPTY) + "\n"

    def _in_turn(self, entries: Entries, findings: Findings) -> Samples:
        return in_turn(entries, self.rounds, findings.losses)

    def _section(
        self, title: str, unit: str, samples: Samples, *, base: str = OURS, columns: Sequence[Ratio] = (RATE, CPU)
    ) -> str:
        base = base if base in samples else next(iter(samples))
        compared = report.ratios(samples, base, columns)
        return f"## {title}\n\n{_rounds(self.rounds)}\n\n{compared}\n\n{report.figures(samples, unit)}\n"


SMALL: Final = Programme(
    rounds=3,
    submit_s=0.5,
    batch_jobs=3000,
    execute_jobs=500,
    end_to_end_jobs=500,
    round_trip_s=0.7,
    capacity_jobs=400,
    status_s=0.5,
    growth_rounds=1,
    growth_s=1.0,
    finished=(0, 100_000),
    queued=100_000,
    idle_s=5.0,
    memory_jobs=5000,
)
FULL: Final = Programme(
    rounds=5,
    submit_s=3.0,
    batch_jobs=20_000,
    execute_jobs=20_000,
    end_to_end_jobs=10_000,
    round_trip_s=6.0,
    capacity_jobs=4000,
    status_s=4.0,
    growth_rounds=3,
    growth_s=5.0,
    finished=(0, 100_000, 1_000_000),
    queued=100_000,
    idle_s=20.0,
    memory_jobs=100_000,
)


def in_turn(entries: Entries, rounds: int, losses: list[str]) -> dict[str, list[Sample]]:
    """Measure A B A B ... and drop the first round. Notes in losses what peers lost."""
    samples: dict[str, list[Sample]] = {name: [] for name in entries}
    for number in range(rounds + 1):
        for name, measure in entries.items():
            sample = measure_again_if_lost(measure, losses)
            _note(number, name, sample)
            if number > 0:
                samples[name].append(sample)
    return samples


def _entries(stacks: Sequence[Stack], measure: Measure) -> Entries:
    return {stack.name: partial(measure, stack) for stack in stacks}


def _note(number: int, name: str, sample: Sample) -> None:
    print(f"  {time.strftime('%X')} round {number}: {name} {sample.rate_per_s:,.0f}/s", file=sys.stderr)


def _rounds(count: int) -> str:
    return f"Medians of {count} rounds in turn, after one to warm up; in brackets the least and the greatest."


def _warm_up(stack: Stack) -> None:
    stack.start_workers()
    stack.clear()
    stack.send(CONNECTIONS, count=WARM_UP_JOBS)
    stack.wait_until_finished(WARM_UP_JOBS)
