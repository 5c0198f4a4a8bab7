"""The tables, in Markdown."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.measurements import Sample
from benchmarks.stack import LOAD_GENERATOR

#: A part that needs less is not named.
_LEAST_CPU_S = 0.005
#: A machine with more to do than this before the start has other work.
_IDLE_LOAD = 0.5

Samples = Mapping[str, Sequence[Sample]]


def machine(load_before: float) -> str:
    """Describe where this runs; load_before is the load average at the start."""
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    model = next((value.strip() for name, _, value in fields if name.strip() == "model name"), platform.machine())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    described = f"{os.cpu_count()} x {model}, {memory_gib:.0f} GiB, Linux {platform.release()}, "
    described += f"Python {platform.python_version()}"
    if load_before > _IDLE_LOAD:
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
    head = ["contestant", unit, "CPU s per 1,000", "of these"]
    head += ["submit p50 ms", "submit p99 ms"] * has_latencies + ["published meanwhile"] * has_published
    rows = []
    for name, rounds in samples.items():
        row = [name, _spread([sample.rate_per_s for sample in rounds], "{:,.0f}".format), *_cpu(rounds)]
        if has_latencies:
            row += [f"{median(sample.latencies_ms[percent] for sample in rounds):.1f}" for percent in (50, 99)]
        if has_published:
            shares = [sample.published_share for sample in rounds if sample.published_share is not None]
            row.append(f"{median(shares):.0%}" if shares else "")
        rows.append(row)
    return table(head, rows)


def ratios(samples: Samples, ours: str) -> str:
    """Return one row per peer: ours divided by it, round by round; above 1 ours does more, or needs more."""
    rows = []
    for name, rounds in samples.items():
        if name != ours:
            rates = [mine.rate_per_s / other.rate_per_s for mine, other in zip(samples[ours], rounds, strict=True)]
            costs = [mine.total_cpu_s / other.total_cpu_s for mine, other in zip(samples[ours], rounds, strict=True)]
            rows.append([f"{ours} / {name}", _spread(rates, "{:.2f}".format), _spread(costs, "{:.2f}".format)])
    return table(["ratio", "rate", "CPU per job"], rows)


def _spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    return f"{text(median(values))} [{text(min(values))} to {text(max(values))}]"


def _cpu(rounds: Sequence[Sample]) -> list[str]:
    """Return the sum over all parts and engines, and each; the load generator is named and not in the sum."""
    parts = {part: median(sample.cpu_s_per_1000.get(part, 0.0) for sample in rounds) for part in rounds[0].cpu_s_per_1000}
    load_generator = parts.pop(LOAD_GENERATOR, 0.0)
    named = ", ".join(f"{part} {spent:.2f}" for part, spent in parts.items() if spent >= _LEAST_CPU_S)
    return [f"{median(sample.total_cpu_s for sample in rounds):.2f}", f"{named} (load generator {load_generator:.2f})"]
