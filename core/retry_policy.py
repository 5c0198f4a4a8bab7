"""How long a failed job waits before its next attempt."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff: the longest wait before retry n is min(cap_s, base_s * 2 ** (n - 1)) seconds."""

    base_s: float = 1.0
    cap_s: float = 600.0


def next_delay_s(attempt: int, policy: RetryPolicy, rng: Random) -> float:
    """Return the seconds to wait before the attempt after this one.

    attempt counts from 1. Equal jitter: uniform in [d / 2, d], d = min(cap_s, base_s * 2 ** (attempt - 1))
    (AWS Architecture Blog, "Exponential Backoff and Jitter"). Raises ValueError if attempt < 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt counts from 1, got {attempt}")
    doublings = min(attempt - 1, 63)
    longest_s = min(policy.cap_s, policy.base_s * 2.0**doublings)
    return rng.uniform(longest_s / 2, longest_s)
