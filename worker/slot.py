"""A slot of the pool: one process that runs one call at a time, and what the worker knows of it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final

from billiard import get_context
from billiard.common import human_status
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded, WorkerLostError

from worker.call_stream import CallStream

#: A pool process that does not take its call within this time is stopped or stuck, and is replaced.
SEND_LIMIT_S: Final = 5.0

#: A process that has closed its stream ends within this time, or is killed.
BURIAL_LIMIT_S: Final = 1.0

#: A pool process has so long to get ready, worker_process_init's receivers included.
START_LIMIT_S: Final = 60.0

#: The first value that a pool process sends: it is ready for calls.
READY: Final = "ready"

_PLAIN: Final = (int, float, str, bytes, type(None))

Initialize = Callable[[], None]
Finalize = Callable[[int, int], None]

_FORK: Final = get_context("fork")


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

    def __init__(self, index: int, initialize: Initialize, finalize: Finalize, others: Iterable["Slot"]) -> None:
        """Fork the process, which calls `initialize` first and `finalize` last, with its pid and exit code.

        index: the number of the process in the pool, from 0. `others` are the slots whose descriptors it must not keep
        open.
        """
        self.index = index
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_LIMIT_S)
        self.stream = CallStream(ours)
        self.call: Call | None = None
        self.is_ready = False
        self._born_at = self._started_at = time.monotonic()
        self._is_warned = False
        self._is_timed_out = False
        inherited = [self.stream, *(other.stream for other in others)]
        self._process = _FORK.Process(target=_serve, args=(theirs, inherited, initialize, finalize), daemon=True)
        self._process.index = index
        self._process.name = f"ForkPoolWorker-{index + 1}"
        self._process.start()
        theirs.close()

    @property
    def is_free(self) -> bool:
        """Whether it waits for a call."""
        return self.is_ready and self.call is None

    def start(self, call: Call) -> None:
        """Give the process a call. Raises OSError if it is gone or does not take it."""
        self.stream.send((call.function, call.args, call.soft_limit_s))
        self.call, self._started_at, self._is_warned = call, time.monotonic(), False
        call.on_accepted(self._process.pid, self._started_at)

    def deadline(self) -> float | None:
        """Return when enforce_limits() has to be called next, in time.monotonic()'s seconds."""
        if self._is_timed_out:
            return None
        if self.call is None:
            return None if self.is_ready else self._born_at + START_LIMIT_S
        limit_s = self.call.limit_s if self._is_warned or self.call.soft_limit_s is None else self.call.soft_limit_s
        return None if limit_s is None else self._started_at + limit_s

    def enforce_limits(self) -> None:
        """Raise SoftTimeLimitExceeded in a call that has passed its soft limit; kill its process at the hard one.

        A process that does not get ready is killed as well.
        """
        deadline = self.deadline()
        if deadline is None or time.monotonic() < deadline:
            return
        if self.call is not None and self.call.soft_limit_s is not None and not self._is_warned:
            self._is_warned = True
            self.signal(signal.SIGUSR1)
            self.call.on_timeout(True, self.call.soft_limit_s)
        else:
            self._is_timed_out = True
            self.signal(signal.SIGKILL)

    def finish(self) -> Callable[[], None]:
        """Take the value that the process has sent; the slot is free then. Return what tells Celery about the call."""
        value = self.stream.take()
        call, self.call = self.call, None
        if call is None:
            self.is_ready = True
            return _nothing
        succeeded, result, is_ready = value
        self.is_ready = is_ready and not self._is_timed_out
        return partial(call.on_success if succeeded else call.on_failure, result)

    def bury(self) -> None:
        """Wait for the end of a process that has closed its stream, and tell Celery about the call that went with it."""
        self.stream.close()
        self.wait(BURIAL_LIMIT_S)
        if self._process.is_alive():
            self.signal(signal.SIGKILL)
            self.wait(BURIAL_LIMIT_S)
        call, self.call = self.call, None
        if call is not None and self._is_timed_out:
            call.on_timeout(False, call.limit_s or 0.0)
        elif call is not None:
            call.on_failure(_lost(human_status(self._process.exitcode)))

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


def _nothing() -> None:
    pass


def _lost(how: str) -> ExceptionInfo:
    try:
        raise WorkerLostError(f"its process ended early: {how}")  # noqa: TRY301  # billiard makes it of what is being handled
    except WorkerLostError:
        return ExceptionInfo()


def _unsendable(value: Any) -> ExceptionInfo:
    try:
        raise TypeError(f"it cannot be sent from the pool process to its worker: {value!r:.500}")  # noqa: TRY301  # as above
    except TypeError:
        return ExceptionInfo()


def _serve(
    endpoint: socket.socket,
    inherited: Iterable[CallStream],
    initialize: Initialize,
    finalize: Finalize,
) -> None:
    """Run in the pool process until the worker closes its end, or a call asks to exit."""
    for stream in inherited:
        stream.close()
    # What a task forks must not hold our end open: the worker would not notice our death.
    os.register_at_fork(after_in_child=endpoint.close)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # the worker's own handler drains the worker
    initialize()
    code = os.EX_OK
    try:
        _run_calls(CallStream(endpoint))
    except BaseException:
        code = os.EX_SOFTWARE
        raise
    finally:
        finalize(os.getpid(), code)


def _run_calls(stream: CallStream) -> None:
    """Run one call after the other. Sends whether it returned, what it returned or raised, whether another may come."""
    soft_limit = _SoftLimit()
    stream.send(READY)
    while True:
        try:
            function, args, limit_s = stream.receive()
        except EOFError:
            return
        try:
            with soft_limit.of(limit_s):
                value = True, function(*args), True
        except (SystemExit, KeyboardInterrupt):
            stream.send((False, ExceptionInfo(), False))
            raise
        except BaseException:  # noqa: BLE001  # whatever it is, the worker wants to know
            value = False, ExceptionInfo(), True
        stream.send(value if _is_plain(value[1]) or stream.survives(value) else (False, _unsendable(value[1]), True))


def _is_plain(result: Any) -> bool:
    """Whether it certainly arrives, as what Celery's tracer returns for a success does."""
    return isinstance(result, _PLAIN) or (type(result) is tuple and all(isinstance(part, _PLAIN) for part in result))


class _SoftLimit:
    """Lets the worker's signal raise SoftTimeLimitExceeded, but only in a call."""

    def __init__(self) -> None:
        self._is_armed = False
        self._limit_s: float | None = None
        signal.signal(signal.SIGUSR1, self._raise)

    def of(self, limit_s: float | None) -> "_SoftLimit":
        """Say which limit the next call has, in seconds."""
        self._limit_s = limit_s
        return self

    def __enter__(self) -> None:
        self._is_armed = True

    def __exit__(self, *_error: object) -> None:
        self._is_armed = False

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_armed:
            self._is_armed = False
            raise SoftTimeLimitExceeded(self._limit_s)
