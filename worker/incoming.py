"""The calls that a pool process is given: the one that runs, and those that came ahead."""

from typing import Any

from worker.board import Board
from worker.call_stream import CallStream


class Incoming:
    """The process's end of the stream, and the board."""

    def __init__(self, stream: CallStream, board: Board) -> None:
        self._stream = stream
        self._board = board
        self._ahead: Any = None
        #: Of the call that was taken last.
        self.number = 0

    def take(self) -> Any:
        """Wait for the next call and return it. Raises EOFError when there is none to come."""
        call = self._stream.receive() if self._ahead is None else self._ahead
        # Now, not in peek(): a signal may raise there, in the middle of reading.
        self._ahead = self._stream.take() if self._stream.has_whole() else None
        self.number += 1
        return call

    def peek(self) -> Any:
        """Return the call that will be next. None: it was not here when the last one was taken, or may not begin."""
        return None if self._board.is_closed else self._ahead
