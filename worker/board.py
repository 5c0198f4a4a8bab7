"""What a worker and one of its pool processes tell each other at any time: a few bytes of memory that both see."""

import mmap
import struct
from typing import Final

_NUMBER: Final = struct.Struct("=Q")
_INTERRUPTED: Final = slice(0, _NUMBER.size)
_BEGUN: Final = slice(_NUMBER.size, 2 * _NUMBER.size)
_IS_CLOSED_AT: Final = 2 * _NUMBER.size


class Board:
    """Made before the fork. It names a call by its number in the process, from 1: a signal cannot say which one it means."""

    def __init__(self) -> None:
        self._memory: Final = mmap.mmap(-1, _IS_CLOSED_AT + 1)

    def begin(self, number: int) -> None:
        """Note, in the process, which call begins."""
        self._memory[_BEGUN] = _NUMBER.pack(number)

    @property
    def begun(self) -> int:
        """The number of the call that began last; 0: none. The worker may not have heard how those before it ended."""
        number: int = _NUMBER.unpack(self._memory[_BEGUN])[0]
        return number

    def interrupt(self, number: int) -> None:
        """Mark a call as the one that a signal is for."""
        self._memory[_INTERRUPTED] = _NUMBER.pack(number)

    def is_interrupted(self, number: int) -> bool:
        """Whether the signal that came is for this call."""
        return self._memory[_INTERRUPTED] == _NUMBER.pack(number)

    def close(self) -> None:
        """Let no further call begin."""
        self._memory[_IS_CLOSED_AT] = 1

    @property
    def is_closed(self) -> bool:
        """Whether no further call may begin."""
        return bool(self._memory[_IS_CLOSED_AT])
