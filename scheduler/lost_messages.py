"""Which published jobs have lost their messages: a broker that was wiped or replaced, or dropped them, says nothing.

A message that a busy worker has taken ahead looks the same: neither ready nor claimed. Publishing such a job again is
harmless (the claim lets one message through) and bounded: nothing is published again while messages are ready, so no more
copies are made once the workers' prefetch buffers are full; and each copy makes the job's publication young again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

#: Unclaimed for less than this is no reason to worry; and the broker must have had nothing ready for as long.
PATIENCE_S: Final = 5.0
#: Jobs that were published so much later are running: the queue is in order, so the older message has left it.
OVERTAKEN_BY: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PublishedJobs:
    """What a queue has of published jobs. `unclaimed` counts those that are older than PATIENCE_S."""

    queue: str
    unclaimed: int
    oldest_unclaimed: datetime | None
    newest_claimed: datetime | None


@dataclass(frozen=True, slots=True)
class Republication:
    """Publish again the queue's jobs that were published before this time (None: all that are older than PATIENCE_S)."""

    queue: str
    before: datetime | None


class LostMessages:
    """Remembers since when a queue has had nothing ready, and the newest publication that was claimed."""

    def __init__(self) -> None:
        self._empty_since: dict[str, float] = {}
        self._newest_claimed: dict[str, datetime] = {}

    def forget(self) -> None:
        """Begin anew. (What was claimed stays true.)"""
        self._empty_since.clear()

    def judge(self, now: float, queues: Iterable[PublishedJobs], ready: Callable[[str], int | None]) -> list[Republication]:
        """Return what to publish again. ready tells the broker's count for a queue; it is asked only in doubt.

        None: the broker does not say it of this queue, so nothing is known of its messages.
        """
        asked = [queue for queue in queues if self._is_in_doubt(queue)]
        self._empty_since = {queue.queue: self._empty_since.get(queue.queue, now) for queue in asked}
        return [republication for queue in asked if (republication := self._judge_queue(now, queue, ready))]

    def _is_in_doubt(self, queue: PublishedJobs) -> bool:
        if queue.newest_claimed is not None:
            known = self._newest_claimed.get(queue.queue, queue.newest_claimed)
            self._newest_claimed[queue.queue] = max(known, queue.newest_claimed)
        return queue.unclaimed > 0

    def _judge_queue(self, now: float, queue: PublishedJobs, ready: Callable[[str], int | None]) -> Republication | None:
        count = ready(queue.queue)
        if count is None:
            self._empty_since[queue.queue] = now
            return None
        if count > 0:
            self._empty_since[queue.queue] = now
        elif now - self._empty_since[queue.queue] >= PATIENCE_S:
            self._empty_since[queue.queue] = now
            return Republication(queue.queue, before=None)
        newest_claimed = self._newest_claimed.get(queue.queue)
        if newest_claimed and queue.oldest_unclaimed and queue.oldest_unclaimed < newest_claimed - OVERTAKEN_BY:
            return Republication(queue.queue, before=newest_claimed - OVERTAKEN_BY)
        return None
