"""What one round of a measurement gives."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from benchmarks.load import LoadResult
from benchmarks.stack import LOAD_GENERATOR, Stack


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one contestant in one round."""

    rate_per_s: float
    cpu_s_per_1000: Mapping[str, float]
    latencies_ms: Mapping[int, float] = field(default_factory=dict)
    published_share: float | None = None
    #: What others submitted meanwhile.
    others_per_s: float = 0.0

    @property
    def total_cpu_s(self) -> float:
        """Per 1,000 jobs, of all parts and engines; what made the load is not counted."""
        return sum(spent for part, spent in self.cpu_s_per_1000.items() if part != LOAD_GENERATOR)


#: Of each contestant, one sample per round, in the order of the rounds.
Samples = Mapping[str, Sequence[Sample]]


class Window:
    """The time and the processor time from its making to close()."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._before = stack.cpu_s()
        self._started_at = time.perf_counter()
        self.elapsed_s = 0.0
        self._spent: Mapping[str, float] = {}

    def close(self) -> Self:
        """End it."""
        self.elapsed_s = time.perf_counter() - self._started_at
        after = self._stack.cpu_s()
        self._spent = {part: spent - self._before.get(part, 0.0) for part, spent in after.items()}
        return self

    def cpu_s_per_1000(self, count: int) -> dict[str, float]:
        """Return what each part spent, when `count` things were done."""
        return {part: spent * 1000 / count for part, spent in self._spent.items()}


def latencies_ms(result: LoadResult) -> dict[int, float]:
    """Return the percentiles that the tables show."""
    return {percent: result.percentile_ms(percent) for percent in (50, 99)}
