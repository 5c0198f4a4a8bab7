"""What a pool process does: take a call, run it, send how it ended, and wait for the next one."""

import os
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final

from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded

from worker.board import Board
from worker.call_stream import CallStream
from worker.desk import Desk

#: The first value that a pool process sends: it is ready for calls.
READY: Final = "ready"

_PLAIN: Final = (int, float, str, bytes, type(None))

Initialize = Callable[[Desk], None]
Finalize = Callable[[int, int], None]


def serve(
    endpoint: socket.socket,
    board: Board,
    inherited: Iterable[CallStream],
    initialize: Initialize,
    finalize: Finalize,
) -> None:
    """Run calls until the worker closes its end or the board, or a call asks to exit.

    `inherited` are the streams of other processes.
    """
    for stream in inherited:
        stream.close()
    # What a task forks must not hold our end open: the worker would not notice our death.
    os.register_at_fork(after_in_child=endpoint.close)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # the worker's own handler drains the worker
    desk = Desk(CallStream(endpoint), board)
    initialize(desk)
    code = os.EX_OK
    try:
        _run_calls(desk, _SoftLimit(board))
    except BaseException:
        code = os.EX_SOFTWARE
        raise
    finally:
        finalize(os.getpid(), code)


def _run_calls(desk: Desk, soft_limit: "_SoftLimit") -> None:
    """Run one call after the other. Answers whether it returned, what it returned or raised, whether the next one begins."""
    desk.answer(READY)
    goes_on = True
    while goes_on:
        try:
            function, args, limit_s = desk.take()
        except EOFError:
            return
        try:
            with soft_limit.of(desk.number, limit_s):
                succeeded, result = True, function(*args)
        except (SystemExit, KeyboardInterrupt):
            desk.rest()
            desk.answer((False, ExceptionInfo(), False))
            raise
        except BaseException:  # noqa: BLE001  # whatever it is, the worker wants to know
            succeeded, result = False, ExceptionInfo()
        goes_on = not desk.is_closed
        if not goes_on:
            desk.rest()
        value = succeeded, result, goes_on
        desk.answer(value if _is_plain(result) or CallStream.survives(value) else (False, _unsendable(result), goes_on))


def _is_plain(result: Any) -> bool:
    """Whether it certainly arrives, as what Celery's tracer returns for a success does."""
    return isinstance(result, _PLAIN) or (type(result) is tuple and all(isinstance(part, _PLAIN) for part in result))


def _unsendable(value: Any) -> ExceptionInfo:
    return as_raised(TypeError(f"it cannot be sent from the pool process to its worker: {value!r:.500}"))


def as_raised(error: Exception) -> ExceptionInfo:
    """Return what Celery wants to know of an exception that nobody has raised."""
    try:
        raise error  # noqa: TRY301  # billiard makes it of what is being handled
    except Exception:  # noqa: BLE001  # whatever it is
        return ExceptionInfo()
    finally:
        del error  # its traceback holds this frame


class _SoftLimit:
    """Lets the worker's signal raise SoftTimeLimitExceeded, but only in the call that it is for."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._is_armed = False
        self._number = 0
        self._limit_s: float | None = None
        signal.signal(signal.SIGUSR1, self._raise)

    def of(self, number: int, limit_s: float | None) -> "_SoftLimit":
        """Say which the next call is, and its limit in seconds."""
        self._number, self._limit_s = number, limit_s
        return self

    def __enter__(self) -> None:
        self._is_armed = True

    def __exit__(self, *_error: object) -> None:
        self._is_armed = False

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_armed and self._board.is_interrupted(self._number):
            self._is_armed = False
            raise SoftTimeLimitExceeded(self._limit_s)
