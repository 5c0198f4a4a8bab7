"""Whether the worker's main loop turns: told by the loop, judged from the heartbeat's thread.

A receiver of Celery's signals, or a library's callback, may block the loop: then the worker takes messages and runs nothing,
while its heartbeat goes on.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

#: How often the loop says that it turns.
TURN_S: Final = 1.0

#: A look that comes so long after the one before was late itself: the machine is busy, or the process was stopped.
LATE_S: Final = 3.0


class LoopWatch:
    """Knows when the loop turned last, and whether it does its work. Nothing is judged until it turns, or while let off."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned_at: float | None = None
        self._looked_at = self._judged_from = clock()
        #: Whether the main thread takes messages, or waits for a broker to take them from.
        self.works = False

    def turn(self, *, works: bool) -> None:
        """Note that the loop turns. For the main thread."""
        self.works = works
        self._turned_at = self._clock()

    def let_off(self, *, works: bool) -> None:
        """Judge nothing until the loop turns again: it has not begun, or has ended, on purpose. For the main thread."""
        self.works = works
        self._turned_at = None

    def look(self) -> float:
        """Return for how many seconds the loop has stood still; to be called about once a second.

        The time counts only from where looks came in time: a busy machine is not a loop that hangs.
        """
        now = self._clock()
        if now - self._looked_at > LATE_S:
            self._judged_from = now
        self._looked_at = now
        turned_at = self._turned_at
        return 0.0 if turned_at is None else now - max(turned_at, self._judged_from)


def main_thread_stack() -> str:
    """Return where the main thread stands: the innermost calls, as a traceback shows them."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame, limit=8)) if frame is not None else "unknown"
