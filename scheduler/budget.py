"""How often something costly may be done: so often that it takes no more than a share of the time."""


class Budget:
    """Each use delays the next one in proportion to what it cost. Times are seconds of one monotonic clock."""

    def __init__(self, share: float, shortest_pause_s: float = 0.0) -> None:
        self._share = share
        self._shortest_pause_s = shortest_pause_s
        self._next_at = float("-inf")

    def allows(self, now: float) -> bool:
        """Return whether it may be done now."""
        return now >= self._next_at

    def spend(self, now: float, cost_s: float) -> None:
        """Note that it was done, and ended now, and took cost_s."""
        self._next_at = now + max(self._shortest_pause_s, cost_s / self._share - cost_s)

    def pause_s(self, now: float) -> float:
        """Seconds until it may be done."""
        return max(0.0, self._next_at - now)
