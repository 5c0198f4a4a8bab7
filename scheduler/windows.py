"""How many messages of a queue may be at the broker: enough to keep the workers busy, the rest waits in SQL order.

What is at the broker is in the order of its publication: an urgent job waits until the messages before its own are consumed.
So a window follows the rate at which messages are consumed, and holds what lasts for TARGET_S.
"""

import math
import time
from collections.abc import Callable
from typing import Final

#: A window lasts for so long: longer than it takes to notice that it must be filled up, shorter than an urgent job may wait.
TARGET_S: Final = 0.5
#: But it holds so many messages for each slot: the rate says nothing while the jobs are long.
PER_SLOT: Final = 4
#: What was consumed so long ago counts for a third.
MEMORY_S: Final = 0.5
#: The broker is asked again after this time even if the bound says that there is room: other schedulers publish, too.
ASK_AGAIN_S: Final = 1.0
#: A window that is full is filled up when this share of it has been consumed: larger batches cost less per job.
REFILL_SHARE: Final = 0.25
FIRST_LOOK_S: Final = 0.02
BUSY_LOOK_S: Final = 0.1
LAST_LOOK_S: Final = 0.5
#: Nothing is consumed, for the workers are stopped or their jobs are long: the longer, the rarer the looks.
LOOK_SHARE: Final = 0.05
#: No pause before a look is longer than this because of the rate alone, which may be thrice as high by now.
EXPECTED_LOOK_S: Final = TARGET_S / 3


class Window:
    """One queue's window. Knows an upper bound of the ready messages, and asks the broker only when that says too little."""

    def __init__(self, most: int, least: int = PER_SLOT, clock: Callable[[], float] = time.monotonic) -> None:
        """It holds `least` to `most` messages."""
        self._most = most
        self._least = min(least, most)
        self._clock = clock
        self._rate_per_s = 0.0
        self._bound: int | None = None
        self._asked_at = float("-inf")
        self._granted = 0
        self._is_used_up = False
        self._look_s = FIRST_LOOK_S
        self._next_look_at = float("-inf")
        self._consumed_at = clock()

    @property
    def limit(self) -> int:
        """How many messages may be ready at the broker now."""
        return int(min(self._most, max(self._least, self._rate_per_s * TARGET_S)))

    def serve(self, slots: int) -> None:
        """Note how many slots of the workers consume from the queue."""
        self._least = min(self._most, max(1, slots) * PER_SLOT)

    def room(self, ask: Callable[[], int]) -> int:
        """Return how many messages may be published now. ask returns the broker's count of ready messages.

        0: not yet worth a batch. The broker is asked again when it should be, or after pauses that grow from 20 to 100 ms,
        and to 500 ms while nothing is consumed.
        """
        now = self._clock()
        if now < self._next_look_at:
            return 0
        if self._room() < self._refill or now - self._asked_at > ASK_AGAIN_S:
            self._observe(ask(), now)
        self._granted = self._room()
        if self._granted >= self._refill:
            self._look_s = FIRST_LOOK_S
            return self._granted
        missing = self._refill - self._granted
        expected_s = min(EXPECTED_LOOK_S, missing / self._rate_per_s) if self._rate_per_s > 0.0 else 0.0
        self._next_look_at = now + max(self._look_s, expected_s)
        longest_s = min(LAST_LOOK_S, max(BUSY_LOOK_S, LOOK_SHARE * (now - self._consumed_at)))
        self._look_s = min(longest_s, self._look_s * 2)
        return 0

    @property
    def pause_s(self) -> float:
        """Seconds until a look at the full window is worth it."""
        return max(0.0, self._next_look_at - self._clock())

    def add(self, count: int) -> None:
        """Note that messages were published, as many as there was room for or as were due."""
        self._bound = count + (self._bound or 0)
        self._is_used_up = count >= self._granted

    def refuse(self) -> None:
        """Note that messages were refused, or the queue was not there: wait, then ask (which declares it) first."""
        self._asked_at = float("-inf")
        self._next_look_at = self._clock() + LAST_LOOK_S

    @property
    def _refill(self) -> int:
        return max(1, int(self.limit * REFILL_SHARE))

    def _room(self) -> int:
        return 0 if self._bound is None else self.limit - self._bound

    def _observe(self, ready: int, now: float) -> None:
        """Learn how much was consumed since the last look. What others have published since then hides some of it."""
        elapsed_s = now - self._asked_at
        if self._bound is not None and 0.0 < elapsed_s < math.inf:
            consumed = max(0, self._bound - ready)
            self._consumed_at = now if consumed else self._consumed_at
            consumed_per_s = consumed / elapsed_s
            self._rate_per_s += (consumed_per_s - self._rate_per_s) * (1.0 - math.exp(-elapsed_s / MEMORY_S))
            if ready == 0 and self._is_used_up:
                # The workers may have waited for more: who consumes all at once is not seen to consume faster.
                self._rate_per_s = max(self._rate_per_s, 2 * self.limit / TARGET_S)
        self._bound = ready
        self._asked_at = now
