"""The pool process's end of the stream, and of the board: calls come in, and how they ended goes out."""

from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import RLock
from typing import Any

from worker.board import Board
from worker.call_stream import CallStream


class Desk:
    """The calls that were given and not begun, and the answers that wait until what they say is written."""

    def __init__(self, stream: CallStream, board: Board) -> None:
        self._stream = stream
        self._board = board
        self._ahead: deque[Any] = deque()
        self._answers: list[bytes] = []
        self._is_holding = False
        #: Held by whoever writes outcomes or sends answers: these must be in the order of the calls.
        self.lock = RLock()
        #: What is done before the process waits for a call, or ends: then no answer may be held back any more.
        self.at_rest: Callable[[], None] = lambda: None
        #: Of the call that was taken last.
        self.number = 0

    def take(self) -> Any:
        """Wait for the next call and return it. Raises EOFError when there is none to come."""
        # Now, not in peek(): a signal may raise there, in the middle of reading.
        while self._stream.has_whole():
            self._ahead.append(self._stream.take())
        if not self._ahead:
            self.rest()
            self._ahead.append(self._stream.receive())
        self.number += 1
        self._board.begin(self.number)
        return self._ahead.popleft()

    @property
    def is_closed(self) -> bool:
        """Whether no further call may begin."""
        return self._board.is_closed

    def peek(self, count: int) -> list[Any]:
        """Return up to count calls that will be next: those that were here when the last one was taken, and may begin."""
        return [] if self.is_closed else list(islice(self._ahead, count))

    def answer(self, value: Any) -> None:
        """Send how the call that was taken last ended; with those that are held back."""
        packed = self._stream.pack(value)
        with self.lock:
            self._answers.append(packed)
            if not self._is_holding:
                self._send()

    def hold(self) -> None:
        """Hold answers back until release()."""
        self._is_holding = True

    def release(self) -> None:
        """Let the answers go with the next one."""
        self._is_holding = False

    def flush(self) -> None:
        """Send the answers now."""
        with self.lock:
            self._is_holding = False
            self._send()

    def rest(self) -> None:
        """Get ready to wait for long, or to end."""
        self.at_rest()
        self.flush()

    def _send(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._stream.write(b"".join(answers))
