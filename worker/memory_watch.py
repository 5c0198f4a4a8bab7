"""How much memory one pool process has: looked at while it runs calls, and once after the last one."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from core.events import Event

#: From the begin of the first call that nobody has looked at until somebody looks, whether or not it has ended.
LOOK_INTERVAL_S: Final = 0.5

#: When a call ends so long after that begin, somebody looks before the next one: a look takes 0.02 ms. What many short calls
#: leak in LOOK_INTERVAL_S could end the innocent one that runs then.
REST_INTERVAL_S: Final = 0.1

#: A process whose earlier calls have left it with more than this share of what a fresh one could still take is replaced.
#: With half, a task that gets twice the memory of its largest call is never ended for what others have leaked.
WORN_SHARE: Final = 0.5

#: A process takes that with its first calls, or with any; it is no leak, however little the limit leaves.
LEAST_LEAK_MIB: Final = 32

_PAGES_PER_MIB: Final = 1024 * 1024 // os.sysconf("SC_PAGE_SIZE")


log = structlog.get_logger()


class MemoryLimitExceeded(MemoryError):  # noqa: N818  # named as Celery's TimeLimitExceeded
    """A pool process had more memory than MEMORY_LIMIT_MIB. Tasks need not import it: they name MemoryError."""

    def __init__(self, used_mib: int, limit_mib: int) -> None:
        super().__init__(
            f"the attempt's process used {used_mib} MiB, more than its limit of {limit_mib} MiB (MEMORY_LIMIT_MIB)"
        )


class MemoryWatch:
    """What is known of the memory of one process. `look_at` is when look() has to be called, in time.monotonic()'s seconds.

    Without a limit (limit_mib 0) nothing is ever read. A process without calls is not looked at either: it cannot grow.
    """

    def __init__(self, pid: int, limit_mib: int) -> None:
        self._path = Path(f"/proc/{pid}/statm")
        self._limit_mib = limit_mib
        self._worn_mib = limit_mib
        self.used_mib = 0
        self.look_at: float | None = None

    @property
    def excess(self) -> MemoryLimitExceeded | None:
        """What the last look says against the call that runs, if anything."""
        return MemoryLimitExceeded(self.used_mib, self._limit_mib) if self.used_mib > self._limit_mib else None

    @property
    def is_worn(self) -> bool:
        """Whether, at the last look, it had more than a process may have that waits for a call."""
        return self.used_mib > self._worn_mib

    def measure_at_rest(self) -> None:
        """Note what the process has before its first call: that is no leak, however much it is."""
        if self._limit_mib:
            at_rest_mib = _resident_mib(self._path)
            room_mib = self._limit_mib - at_rest_mib
            self._worn_mib = at_rest_mib + max(int(room_mib * WORN_SHARE), LEAST_LEAK_MIB)
            if room_mib < LEAST_LEAK_MIB:
                reason = f"MEMORY_LIMIT_MIB={self._limit_mib} ends every attempt that takes longer than a moment"
                hint = f"a process has {at_rest_mib} MiB before its first attempt; set the limit to twice that, or more"
                log.warning(Event.WORKER_FAILED, reason=reason, hint=hint)

    def expect_look(self, now: float) -> None:
        """See to it that somebody looks; to be called when a call begins, and after a look while one runs."""
        if self._limit_mib and self.look_at is None:
            self.look_at = now + LOOK_INTERVAL_S

    def is_due_at_rest(self, now: float) -> bool:
        """Whether to look at a process whose call has just ended."""
        return self.look_at is not None and (now > self.look_at - LOOK_INTERVAL_S + REST_INTERVAL_S or self.is_worn)

    def look(self) -> None:
        """Read what the process has."""
        self.used_mib = _resident_mib(self._path)
        self.look_at = None


def _resident_mib(path: Path) -> int:
    """Return the resident memory, proc(5): the second number of statm, in pages. 0 for a process that is gone."""
    with suppress(OSError):
        return int(path.read_bytes().split()[1]) // _PAGES_PER_MIB
    return 0
