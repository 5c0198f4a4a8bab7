"""All that a run has measured, and what of it must be reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from benchmarks.growth import EMPTY
from benchmarks.measurements import CONNECTIONS
from benchmarks.memory import WHOLE, Footprint
from benchmarks.report import P50, RATE, Ratio, spread, table
from benchmarks.samples import Samples

#: The contestant that the ratios are about.
OURS: Final = "ours"
#: Not peers: the limit, what tutorials show, and ourselves.
_NO_PEERS: Final = (OURS, "standalone", "echo", "tutorial")
SINGLES: Final = "singles"
BATCHES: Final = "batches of 1,000"
GROWN: Final = "1,000,000 finished"


@dataclass(slots=True)
class Findings:
    """The samples of each measurement by its key, the footprints by contestant, and which jobs peers have lost."""

    samples: dict[str, Samples] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)

    def ratios(self, key: str, upper: str, lower: str, column: Ratio) -> Sequence[float] | None:
        """Return the ratio in each round; None where it was not measured."""
        found = self.samples.get(key, {})
        return column.of(found[upper], found[lower]) if upper in found and lower in found else None

    def best_peer(self, key: str) -> str:
        """Return the peer with the greatest median rate; empty if there is none."""
        peers = {name: rounds for name, rounds in self.samples.get(key, {}).items() if name not in _NO_PEERS}
        return max(peers, key=lambda name: median(sample.rate_per_s for sample in peers[name]), default="")


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that must be reached: at least, or at most, the bound."""

    claim: str
    bound: float
    is_least: bool
    measured: Callable[[Findings], Sequence[float] | None]
    text: Callable[[float], str] = "{:.2f}".format

    def row(self, findings: Findings) -> list[str]:
        """Return what is claimed, what must be, what was measured, and whether that is enough."""
        must = f"{'>=' if self.is_least else '<='} {self.text(self.bound)}"
        values = self.measured(findings)
        if not values:
            return [self.claim, must, "not measured", ""]
        is_reached = median(values) >= self.bound if self.is_least else median(values) <= self.bound
        shown = spread(values, self.text) if len(values) > 1 else self.text(values[0])
        return [self.claim, must, shown, "yes" if is_reached else "**no**"]


def submit_key(connections: int) -> str:
    """Return the key of the submissions on so many connections."""
    return f"submit {connections}"


def _rate(key: str, upper: str, lower: str) -> Callable[[Findings], Sequence[float] | None]:
    return lambda findings: findings.ratios(key, upper, lower, RATE)


def _p50(key: str, upper: str, lower: str) -> Callable[[Findings], Sequence[float] | None]:
    return lambda findings: findings.ratios(key, upper, lower, P50)


def _against_best_peer(key: str) -> Callable[[Findings], Sequence[float] | None]:
    return lambda findings: findings.ratios(key, OURS, findings.best_peer(key), RATE)


def _whole(values: Callable[[Footprint], Sequence[float]]) -> Callable[[Findings], Sequence[float] | None]:
    return lambda findings: values(findings.footprints[WHOLE]) if WHOLE in findings.footprints else None


_SUBMIT: Final = submit_key(CONNECTIONS)

TARGETS: Final = (
    Target(f"submit on {CONNECTIONS} connections / bare echo", 0.45, True, _rate(_SUBMIT, OURS, "echo")),
    Target(f"submit on {CONNECTIONS} connections / best peer", 1.1, True, _against_best_peer(_SUBMIT)),
    Target(f"submit on {CONNECTIONS} connections / tutorial", 4.0, True, _rate(_SUBMIT, OURS, "tutorial")),
    Target("jobs/s in batches of 1,000 / one by one", 2.0, True, _rate("batch", BATCHES, SINGLES)),
    Target("execute / tutorial", 1.2, True, _rate("execute", OURS, "tutorial")),
    Target("execute / procrastinate", 2.0, True, _rate("execute", OURS, "procrastinate")),
    Target("end to end / tutorial", 1.2, True, _rate("end-to-end", OURS, "tutorial")),
    Target("round trip p50, idle / tutorial", 1.0, False, _p50("round-trip idle", OURS, "tutorial")),
    Target("status reads / bare GET of echo", 0.4, True, _rate("status", OURS, "echo")),
    Target("time of a submission, 1,000,000 jobs / empty", 1.15, False, _rate("growth submit", EMPTY, GROWN)),
    Target("round trip p50, 1,000,000 jobs / empty", 1.15, False, _p50("growth round-trip", GROWN, EMPTY)),
    Target("idle `./dev run`, of one core", 0.03, False, _whole(lambda found: found.idle_cores), "{:.1%}".format),
    Target("idle `./dev run`, MiB of PSS", 700.0, False, _whole(lambda found: [found.idle_total_mib]), "{:.0f}".format),
)


def targets_table(findings: Findings) -> str:
    """Return one row per ratio that must be reached."""
    return table(["what", "must be", "measured", "reached"], [target.row(findings) for target in TARGETS])


def medians(samples: Samples, column: Ratio) -> Mapping[str, float]:
    """Return the median of each contestant."""
    return {name: median(map(column.value, rounds)) for name, rounds in samples.items()}
