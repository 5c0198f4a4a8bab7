"""When something is away: wait longer and longer, and say so once, and once when it is back."""

import threading
from typing import Any, Final

import structlog

from core.events import Event

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

log = structlog.get_logger()


class Backoff:
    """Pauses between tries: 0.1 s, twice as long each time, at most 2 s."""

    def __init__(self, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait now, and wait longer the next time."""
        pause_s, self._next_s = self._next_s, min(self._longest_s, self._next_s * 2)
        return pause_s

    def reset(self) -> None:
        """It worked: the next pause is a first one."""
        self._next_s = self._first_s


class Outage:
    """Tells one outage that several threads suffer as one: lost with the first of them, restored with the last."""

    def __init__(self, lost: Event, restored: Event) -> None:
        self._lost = lost
        self._restored = restored
        self._sufferers: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, sufferer: str, error: Exception) -> None:
        """Note that the sufferer cannot work."""
        with self._lock:
            is_first = not self._sufferers
            self._sufferers.add(sufferer)
        if is_first:
            log.warning(self._lost, error=first_line(error))

    def end(self, sufferer: str) -> None:
        """Note that the sufferer works (again)."""
        if sufferer not in self._sufferers:
            return
        with self._lock:
            self._sufferers.discard(sufferer)
            is_last = not self._sufferers
        if is_last:
            log.info(self._restored)


def first_line(error: Exception) -> Any:
    """Return an error as one line: libpq's messages have several."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
