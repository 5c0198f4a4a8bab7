"""Queues that the broker refuses: left alone for a while, and tried again. The others must not wait for them."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from core.events import Event
from scheduler.brokers.publisher import QueueRefusedError
from scheduler.outage import Backoff

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0

log = structlog.get_logger()


class RefusedQueues:
    """Remembers when each of them may be tried again; says it once when one is refused, and once when it is taken again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[str, tuple[float, Backoff]] = {}

    def pause_s(self, queue: str) -> float:
        """Seconds until the queue may be tried; 0: now."""
        again_at, _ = self._refused.get(queue, (0.0, None))
        return max(0.0, again_at - self._clock())

    def refuse(self, queue: str, error: QueueRefusedError) -> float:
        """Note that the broker refuses the queue; return the seconds until it may be tried again."""
        _, backoff = self._refused.get(queue, (0.0, None))
        if backoff is None:
            backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
            log.warning(Event.QUEUE_REFUSED, queue=queue, error=str(error), hint="its jobs wait; those of others go on")
        pause_s = backoff.next_s()
        self._refused[queue] = (self._clock() + pause_s, backoff)
        return pause_s

    def take(self, queue: str) -> None:
        """Note that the broker takes the queue (again)."""
        if self._refused.pop(queue, None) is not None:
            log.info(Event.QUEUE_RESTORED, queue=queue)
