"""What pairs of measurements say: the median of their ratios, and the interval in which it lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Final

CONFIDENCE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """A median, and where that of all possible measurements lies with CONFIDENCE."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f} to {self.high:.3f}]"


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the median with its interval, which supposes nothing of how the values are distributed.

    It is the narrowest pair of order statistics that has at least this confidence, by the sign test (Conover, Practical
    Nonparametric Statistics, 3.2). Raises ValueError for too few values.
    """
    ordered = sorted(values)
    count = len(ordered)
    # The k-th smallest and the k-th largest enclose the median with this probability.
    enclosing = [k for k in range(1, count // 2 + 1) if 1 - 2 * _tail(count, k - 1) >= confidence]
    if not enclosing:
        raise ValueError(f"{count} values say nothing with a confidence of {confidence}")
    k = max(enclosing)
    return Interval(ordered[k - 1], median(ordered), ordered[-k])


def _tail(count: int, most: int) -> float:
    """Return the probability of at most `most` heads in `count` throws of a coin."""
    return float(sum(comb(count, heads) for heads in range(most + 1)) / 2**count)
