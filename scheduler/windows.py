"""How many messages of a queue may be at the broker: enough to keep the workers busy, the rest waits in SQL order."""

import time
from collections.abc import Callable
from typing import Final

#: The broker is asked again after this time even if the bound says that there is room: other schedulers publish, too.
ASK_AGAIN_S: Final = 1.0
#: A window that is full is filled up when this share of it has been consumed: larger batches cost less per job.
REFILL_SHARE: Final = 0.25
FIRST_LOOK_S: Final = 0.02
LAST_LOOK_S: Final = 0.5


class Window:
    """One queue's window. Knows an upper bound of the ready messages, and asks the broker only when that says too little."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._refill = max(1, int(limit * REFILL_SHARE))
        self._clock = clock
        self._bound = limit
        self._asked_at = float("-inf")
        self._look_s = FIRST_LOOK_S
        self._next_look_at = float("-inf")

    def room(self, ask: Callable[[], int]) -> int:
        """Return how many messages may be published now. ask returns the broker's count of ready messages.

        0: not yet worth a batch. How often the broker is asked then falls from each 20 ms to each 0.5 s.
        """
        now = self._clock()
        if now < self._next_look_at:
            return 0
        if self._limit - self._bound < self._refill or now - self._asked_at > ASK_AGAIN_S:
            self._bound = ask()
            self._asked_at = now
        room = self._limit - self._bound
        if room >= self._refill:
            self._look_s = FIRST_LOOK_S
            return room
        self._next_look_at = now + self._look_s
        self._look_s = min(LAST_LOOK_S, self._look_s * 2)
        return 0

    @property
    def pause_s(self) -> float:
        """Seconds until a look at the full window is worth it."""
        return max(0.0, self._next_look_at - self._clock())

    def add(self, count: int) -> None:
        """Note that messages were published."""
        self._bound += count

    def refuse(self) -> None:
        """Note that messages were refused, or the queue was not there: wait, then ask (which declares it) first."""
        self._asked_at = float("-inf")
        self._next_look_at = self._clock() + LAST_LOOK_S
