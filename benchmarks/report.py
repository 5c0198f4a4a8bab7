"""The tables, in Markdown."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.memory import Footprint
from benchmarks.samples import Sample, Samples
from benchmarks.stack import LOAD_GENERATOR

#: A part that needs less is not named.
_LEAST_CPU_S: Final = 0.005
#: A machine with more to do than this before the start has other work.
_IDLE_LOAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Ratio:
    """A column of ratios: what is divided."""

    title: str
    value: Callable[[Sample], float]

    def of(self, upper: Sequence[Sample], lower: Sequence[Sample]) -> list[float]:
        """Divide round by round."""
        return [self.value(one) / self.value(other) for one, other in zip(upper, lower, strict=True)]


RATE: Final = Ratio("rate", lambda sample: sample.rate_per_s)
CPU: Final = Ratio("CPU per job", lambda sample: sample.total_cpu_s)
P50: Final = Ratio("p50", lambda sample: sample.latencies_ms[50])
P99: Final = Ratio("p99", lambda sample: sample.latencies_ms[99])


def is_idle(load_before: float) -> bool:
    """Tell whether the machine had nothing else to do."""
    return load_before <= _IDLE_LOAD


def machine(load_before: float) -> str:
    """Describe where this runs; load_before is the load average at the start."""
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    model = next((value.strip() for name, _, value in fields if name.strip() == "model name"), platform.machine())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = platform.release().partition("-")[0]
    described = f"{os.cpu_count()} x {model}, {memory_gib:.0f} GiB, Linux {kernel}, Python {platform.python_version()}"
    if not is_idle(load_before):
        described += (
            f"\n\n**The machine had other work at the start (load average {load_before:.1f}): trust the ratios less.**"
        )
    return described


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(samples: Samples, unit: str) -> str:
    """Return one row per contestant: medians, and in brackets the spread over the rounds."""
    has_latencies = any(sample.latencies_ms for rounds in samples.values() for sample in rounds)
    has_published = any(sample.published_share is not None for rounds in samples.values() for sample in rounds)
    has_others = any(sample.others_per_s for rounds in samples.values() for sample in rounds)
    head = ["contestant", unit, "CPU s per 1,000", "of these"]
    head += ["p50 ms", "p99 ms"] * has_latencies + ["published meanwhile"] * has_published
    head += ["others submit, jobs/s"] * has_others
    rows = []
    for name, rounds in samples.items():
        row = [name, spread([sample.rate_per_s for sample in rounds], "{:,.0f}".format), *_cpu(rounds)]
        if has_latencies:
            row += [f"{median(sample.latencies_ms[percent] for sample in rounds):.1f}" for percent in (50, 99)]
        if has_published:
            shares = [sample.published_share for sample in rounds if sample.published_share is not None]
            row.append(f"{median(shares):.0%}" if shares else "")
        if has_others:
            row.append(f"{median(sample.others_per_s for sample in rounds):,.0f}")
        rows.append(row)
    return table(head, rows)


def ratios(samples: Samples, base: str, columns: Sequence[Ratio] = (RATE, CPU)) -> str:
    """Return one row per peer: the base divided by it, round by round; above 1 the base does more, or needs more."""
    rows = [
        [f"{base} / {name}", *(spread(column.of(samples[base], rounds), "{:.2f}".format) for column in columns)]
        for name, rounds in samples.items()
        if name != base
    ]
    return table(["ratio", *(column.title for column in columns)], rows) if rows else "Nothing to compare with."


def growth(submissions: Samples, trips: Samples, base: str) -> str:
    """Return one row per state of the database, with how many times longer it takes than in the base state."""
    rows = []
    for name in submissions:
        row = [name, spread([sample.rate_per_s for sample in submissions[name]], "{:,.0f}".format)]
        row.append(spread(RATE.of(submissions[base], submissions[name]), "{:.2f}".format))
        row.append(f"{median(sample.total_cpu_s for sample in submissions[name]):.2f}")
        row.append(spread([sample.latencies_ms[50] for sample in trips[name]], "{:.1f}".format))
        row.append(spread(P50.of(trips[name], trips[base]), "{:.2f}".format))
        rows.append(row)
    head = ["jobs in the table", "submissions/s", "times as long", "CPU s per 1,000", "round trip p50 ms", "times as long"]
    return table(head, rows)


def footprints(found: Mapping[str, Footprint]) -> str:
    """Return one row per contestant: memory of its parts when idle, of all after the jobs, and idle processor time."""
    rows = []
    for name, footprint in found.items():
        parts = ", ".join(f"{part} {mib:.0f}" for part, mib in footprint.idle_mib.items())
        used = ", ".join(f"{part} {mib:.0f}" for part, mib in footprint.used_mib.items())
        row = [name, f"**{footprint.idle_total_mib:.0f}**: {parts}", f"**{footprint.used_total_mib:.0f}**: {used}"]
        rows.append([*row, spread(footprint.idle_cores, "{:.1%}".format)])
    jobs = next(iter(found.values())).jobs
    return table(["contestant", "idle, MiB", f"after {jobs:,} jobs, MiB", "idle, of one core"], rows)


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Return the median, and in brackets the least and the greatest."""
    return f"{text(median(values))} [{text(min(values))} to {text(max(values))}]"


def _cpu(rounds: Sequence[Sample]) -> list[str]:
    """Return the sum over all parts and engines, and each; the load generator is named and not in the sum."""
    parts = {part: median(sample.cpu_s_per_1000.get(part, 0.0) for sample in rounds) for part in rounds[0].cpu_s_per_1000}
    load_generator = parts.pop(LOAD_GENERATOR, 0.0)
    named = ", ".join(f"{part} {spent:.2f}" for part, spent in parts.items() if spent >= _LEAST_CPU_S)
    return [f"{median(sample.total_cpu_s for sample in rounds):.2f}", f"{named} (load generator {load_generator:.2f})"]
