"""A slot of the pool: one process that runs one call at a time, and what the worker knows of it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from billiard import get_context
from billiard.common import human_status
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError

from core.events import Event
from worker.call_loop import Finalize, Initialize, as_raised, serve
from worker.call_stream import CallStream
from worker.descendants import kill_family
from worker.memory_watch import MemoryLimitExceeded, MemoryWatch

#: A pool process that does not take its call within this time is stopped or stuck, and is replaced.
SEND_LIMIT_S: Final = 5.0

#: A process that has closed its stream ends within this time, or is killed.
BURIAL_LIMIT_S: Final = 1.0

#: A pool process has so long to get ready, worker_process_init's receivers included.
START_LIMIT_S: Final = 60.0

#: How long idle processes may take to end: tasks may have connected to Celery's signal worker_process_shutdown.
PARTING_LIMIT_S: Final = 2.0

_FORK: Final = get_context("fork")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """What Celery asks the pool to run, and whom to tell. Times in seconds; None: no limit."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    on_accepted: Callable[[int, float], None]
    on_success: Callable[[Any], None]
    on_failure: Callable[[ExceptionInfo], None]
    on_timeout: Callable[[bool, float], None]
    soft_limit_s: float | None
    limit_s: float | None


class Slot:
    """A pool process, as its worker sees it. `call` is what it runs at present."""

    def __init__(
        self, index: int, initialize: Initialize, finalize: Finalize, others: Iterable["Slot"], memory_limit_mib: int
    ) -> None:
        """Fork the process, which calls `initialize` first and `finalize` last, with its pid and exit code.

        index: the number of the process in the pool, from 0. `others` are the slots whose descriptors it must not keep
        open. memory_limit_mib: 0 is none.
        """
        self.index = index
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_LIMIT_S)
        self.stream = CallStream(ours)
        self.call: Call | None = None
        self.is_ready = False
        self.was_ready = False
        self._started_at = time.monotonic()
        #: While it is not ready: when it has to be, or to be gone.
        self._decided_by = self._started_at + START_LIMIT_S
        self._is_warned = False
        self._is_killed = False
        self._is_timed_out = False
        self._excess: MemoryLimitExceeded | None = None
        inherited = [self.stream, *(other.stream for other in others)]
        self._process = _FORK.Process(target=serve, args=(theirs, inherited, initialize, finalize), daemon=True)
        self._process.index = index
        self._process.name = f"ForkPoolWorker-{index + 1}"
        self._process.start()
        self._memory = MemoryWatch(self._process.pid, memory_limit_mib)
        theirs.close()

    @property
    def is_free(self) -> bool:
        """Whether it waits for a call."""
        return self.is_ready and self.call is None

    def start(self, call: Call) -> None:
        """Give the process a call. Raises OSError if it is gone or does not take it."""
        self.stream.send((call.function, call.args, call.soft_limit_s))
        self.call, self._started_at, self._is_warned = call, time.monotonic(), False
        self._memory.expect_look(self._started_at)
        call.on_accepted(self._process.pid, self._started_at)

    def deadline(self) -> float | None:
        """Return when enforce_limits() has to be called next, in time.monotonic()'s seconds."""
        if self._is_killed:
            return None
        time_is_up, look_at = self._time_is_up_at(), self._memory.look_at
        return time_is_up if look_at is None or (time_is_up is not None and time_is_up < look_at) else look_at

    def enforce_limits(self) -> None:
        """Raise SoftTimeLimitExceeded in a call that has passed its soft limit; kill its process at the hard one.

        A process that does not get ready, or that does not go when it shall, is killed as well, and one whose memory has
        passed its limit. One that waits for a call, but with a worn memory, is let go.
        """
        now = time.monotonic()
        if self._memory.look_at is not None and self._memory.look_at <= now:
            self._look(now)
        time_is_up = self._time_is_up_at()
        if self._is_killed or time_is_up is None or now < time_is_up:
            return
        if self.call is not None and self.call.soft_limit_s is not None and not self._is_warned:
            self._is_warned = True
            self.signal(signal.SIGUSR1)
            self.call.on_timeout(True, self.call.soft_limit_s)
        else:
            self._is_timed_out = True
            self.kill()

    def finish(self) -> Callable[[], None]:
        """Take the value that the process has sent; the slot is free then. Return what tells Celery about the call."""
        value = self.stream.take()
        call, self.call = self.call, None
        if call is None:
            self.is_ready = self.was_ready = True
            self._memory.measure_at_rest()
            return _nothing
        succeeded, result, is_ready = value
        self.is_ready = is_ready and not self._is_killed
        now = time.monotonic()
        if not self.is_ready:
            self._decided_by = now + PARTING_LIMIT_S
        elif self._memory.is_due_at_rest(now):
            self._look(now)
        return partial(call.on_success if succeeded else call.on_failure, result)

    def bury(self) -> None:
        """Wait for the end of a process that has closed its stream, and tell Celery about the call that went with it."""
        self.stream.close()
        self.wait(BURIAL_LIMIT_S)
        if self._process.is_alive():
            self.kill()
            self.wait(BURIAL_LIMIT_S)
        call, self.call = self.call, None
        if call is None:
            return
        if self._excess is not None:
            call.on_failure(as_raised(self._excess))
        elif self._is_timed_out:
            call.on_timeout(False, call.limit_s or 0.0)
        else:
            call.on_failure(as_raised(WorkerLostError(f"its process ended early: {human_status(self._process.exitcode)}")))

    def dismiss(self) -> None:
        """Let the process end after what it runs."""
        self.stream.close()

    def wait(self, limit_s: float) -> None:
        """Wait up to limit_s seconds for the process to end.

        Not with join(), which also waits for what the process has forked.
        """
        deadline = time.monotonic() + limit_s
        while self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if it still lives."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """kill -9 the process and what it has forked. Its stream closes by that."""
        self._is_killed = True
        self.is_ready = False
        kill_family(self._process.pid)

    def _time_is_up_at(self) -> float | None:
        if self.call is None:
            return None if self.is_ready else self._decided_by
        limit_s = self.call.limit_s if self._is_warned or self.call.soft_limit_s is None else self.call.soft_limit_s
        return None if limit_s is None else self._started_at + limit_s

    def _look(self, now: float) -> None:
        """See what memory the process has, and draw the conclusion."""
        self._memory.look()
        if self.call is None:
            if self._memory.is_worn and self.is_ready:
                self._retire(now)
            return
        self._excess = self._memory.excess
        if self._excess is not None:
            self.kill()
        else:
            self._memory.expect_look(now)

    def _retire(self, now: float) -> None:
        """Let an idle process end by itself; the pool replaces it when its stream closes, as after any other end."""
        log.info(Event.PROCESS_RETIRED, pid=self._process.pid, memory_mib=self._memory.used_mib)
        self.is_ready = False
        self._decided_by = now + PARTING_LIMIT_S
        self.stream.end()


def _nothing() -> None:
    pass
