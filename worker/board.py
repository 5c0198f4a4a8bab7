"""What a worker tells one of its pool processes while a call runs there: a few bytes of memory that both see."""

import mmap
import struct
from typing import Final

_NUMBER: Final = struct.Struct("=Q")
_IS_CLOSED_AT: Final = _NUMBER.size


class Board:
    """Made before the fork. It names a call by its number in the process, from 1: a signal cannot say which one it means."""

    def __init__(self) -> None:
        self._memory: Final = mmap.mmap(-1, _IS_CLOSED_AT + 1)

    def interrupt(self, number: int) -> None:
        """Mark a call as the one that a signal is for."""
        self._memory[: _NUMBER.size] = _NUMBER.pack(number)

    def is_interrupted(self, number: int) -> bool:
        """Whether the signal that came is for this call."""
        return self._memory[: _NUMBER.size] == _NUMBER.pack(number)

    def close(self) -> None:
        """Let no further call begin."""
        self._memory[_IS_CLOSED_AT] = 1

    @property
    def is_closed(self) -> bool:
        """Whether no further call may begin."""
        return bool(self._memory[_IS_CLOSED_AT])
