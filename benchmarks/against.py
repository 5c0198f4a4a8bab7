"""`./dev bench --against COMMIT`: this tree beside an earlier commit of it, in alternating pairs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contestants.ours.adapter import Adapter
from benchmarks.database_work import DatabaseWork, count_work
from benchmarks.engines import EngineSet
from benchmarks.measurements import CONNECTIONS, Measure, execute, submit
from benchmarks.pairs import Interval, median_interval
from benchmarks.report import table
from benchmarks.round_trips import round_trip
from benchmarks.samples import Sample
from benchmarks.stack import LOAD_GENERATOR, Stack
from benchmarks.work_tree import WorkTree

#: Fewer say too little on a machine that is shared.
LEAST_PAIRS: Final = 12
#: What must be reached, unless the change is made to cost more.
LEAST_RATIO: Final = 0.97
MOST_GROWTH: Final = 1.03

SUBMIT_S: Final = 2.0
EXECUTE_JOBS: Final = 4_000
ROUND_TRIP_S: Final = 2.0
WARM_UP_JOBS: Final = 400
COUNTED_JOBS: Final = 2_000
#: How often the work of the database is counted: how many jobs share a statement depends on the moment.
COUNTS: Final = 9

NOW: Final = "now"
BEFORE: Final = "before"

#: Name -> what makes a sample, and what of it is compared: more is better.
MEASURES: Final[Mapping[str, tuple[Measure, Callable[[Sample], float]]]] = {
    "submit": (submit(SUBMIT_S, CONNECTIONS), lambda sample: sample.rate_per_s),
    "execute": (execute(EXECUTE_JOBS), lambda sample: sample.rate_per_s),
    "round-trip": (round_trip(ROUND_TRIP_S), lambda sample: 1.0 / sample.latencies_ms[50]),
}


@dataclass(frozen=True, slots=True)
class Pairs:
    """The samples of one measurement, round by round."""

    now: Sequence[Sample]
    before: Sequence[Sample]

    def ratio(self, value: Callable[[Sample], float]) -> Interval:
        """Return now divided by before, pair by pair."""
        return median_interval([value(now) / value(before) for now, before in zip(self.now, self.before, strict=True)])


def compare(tree: WorkTree, engines: EngineSet, logs: Path, names: Sequence[str], pairs: int) -> Iterator[str]:
    """Yield the tables of each measurement, and last that of the database's work."""
    with ExitStack() as ends:
        stacks = {
            NOW: Stack(Adapter(NOW, Path(sys.executable), engines.give(NOW)), logs, lambda: engines.pids),
            BEFORE: Stack(Adapter(BEFORE, tree.python, engines.give(BEFORE), tree.path), logs, lambda: engines.pids),
        }
        for stack in stacks.values():
            ends.callback(stack.stop)
            stack.contestant.prepare()
            stack.start_api()
        yield f"# This tree beside {tree.commit}\n"
        if "submit" in names:  # without workers
            yield pairs_section("submit", measure_pairs(stacks, "submit", pairs))
        for stack in stacks.values():
            stack.start_workers()
            stack.clear()
            stack.send(CONNECTIONS, count=WARM_UP_JOBS)
            stack.wait_until_finished(WARM_UP_JOBS)
        for name in names:
            if name != "submit":
                yield pairs_section(name, measure_pairs(stacks, name, pairs))
        log = engines.log_path("postgres")
        works: dict[str, list[DatabaseWork]] = {NOW: [], BEFORE: []}
        for _ in range(COUNTS):
            for name, stack in stacks.items():
                works[name].append(count_work(stack, log, COUNTED_JOBS))
        yield work_section(works[NOW], works[BEFORE])


def measure_pairs(stacks: Mapping[str, Stack], name: str, pairs: int) -> Pairs:
    """Measure A B, B A, A B ...; the first pair warms up and is not counted."""
    measure, value = MEASURES[name]
    samples: dict[str, list[Sample]] = {NOW: [], BEFORE: []}
    for number in range(pairs + 1):
        order = (NOW, BEFORE) if number % 2 else (BEFORE, NOW)
        for side in order:
            sample = measure(stacks[side])
            print(f"  {name} {number}: {side} {value(sample):,.4g}", file=sys.stderr)
            if number > 0:
                samples[side].append(sample)
    return Pairs(samples[NOW], samples[BEFORE])


def pairs_section(name: str, pairs: Pairs) -> str:
    """Return what a measurement says: the ratio of its figure, and of the processor time of each part."""
    _, value = MEASURES[name]
    ratio = pairs.ratio(value)
    rows = [[f"{name}, now / before", str(ratio), f"reaches {LEAST_RATIO}", _verdict(ratio.high >= LEAST_RATIO)]]
    total = pairs.ratio(lambda sample: sample.total_cpu_s)
    rows.append(["CPU s per job, now / before", str(total), f"down to {MOST_GROWTH}", _verdict(total.low <= MOST_GROWTH)])
    parts = sorted(set(pairs.now[0].cpu_s_per_1000) - {LOAD_GENERATOR})
    cpu = [
        [f"CPU s per 1,000, {part}", *(f"{_median_cpu(samples, part):.3f}" for samples in (pairs.before, pairs.now))]
        for part in parts
    ]
    head = f"## {name}: {len(pairs.now)} pairs, medians with their 90 % intervals\n"
    return f"{head}\n{table(['what', 'ratio', 'must', 'reached'], rows)}\n\n{table(['part', 'before', 'now'], cpu)}\n"


def work_section(now: Sequence[DatabaseWork], before: Sequence[DatabaseWork]) -> str:
    """Return the table of what noise does not touch."""
    figures: dict[str, Callable[[DatabaseWork], float]] = {
        f"statements, {part}": partial(_statements_of, part) for part in ("api", "scheduler", "worker")
    }
    figures |= {"commits": lambda work: work.commits, "WAL bytes": lambda work: work.wal_bytes}
    rows = []
    for name, figure in figures.items():
        old, new = (median(map(figure, works)) for works in (before, now))
        growth = new / old if old else 1.0
        rows.append([name, f"{old:,.3f}", f"{new:,.3f}", f"{growth:.3f}", _verdict(growth <= MOST_GROWTH)])
    head = f"## The database's work per job: medians of {COUNTS} times {COUNTED_JOBS:,} jobs end to end\n"
    return f"{head}\n{table(['what', 'before', 'now', 'now / before', f'<= {MOST_GROWTH}'], rows)}\n"


def _statements_of(part: str, work: DatabaseWork) -> float:
    return work.statements.get(part, 0.0)


def _median_cpu(samples: Sequence[Sample], part: str) -> float:
    return median(sample.cpu_s_per_1000[part] for sample in samples)


def _verdict(is_reached: bool) -> str:
    return "yes" if is_reached else "NO"
