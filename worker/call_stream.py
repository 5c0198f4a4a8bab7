"""The pipe between a worker and one of its pool processes: pickled objects, each behind its length."""

import pickle
import struct
from contextlib import suppress
from socket import MSG_DONTWAIT, SHUT_WR, socket
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")
_CHUNK_BYTES: Final = 65_536


class CallStream:
    """One end of a connected socket. Both ends belong to us, so what comes is trusted."""

    def __init__(self, endpoint: socket) -> None:
        self._socket = endpoint
        self._received = bytearray()

    def fileno(self) -> int:
        """Return the descriptor, for an event loop."""
        return self._socket.fileno()

    def send(self, value: Any) -> None:
        """Send a value in one system call. Raises OSError when nobody reads, pickle.PicklingError or TypeError."""
        self.write(self.pack(value))

    @staticmethod
    def pack(value: Any) -> bytes:
        """Return what write() takes for a value. Raises pickle.PicklingError or TypeError."""
        content = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return _LENGTH.pack(len(content)) + content

    def write(self, packed: bytes) -> None:
        """Send what pack() returned. Raises OSError when nobody reads."""
        self._socket.sendall(packed)

    def receive(self) -> Any:
        """Wait for a value and return it. Raises EOFError when the other end is gone."""
        while not self.is_complete():
            if not self.read():
                raise EOFError("the other end is gone")
        return self.take()

    def read(self) -> bool:
        """Read once what is there, waiting if there is nothing. False: the other end is gone."""
        try:
            chunk = self._socket.recv(_CHUNK_BYTES)
        except ConnectionResetError:
            chunk = b""
        self._received += chunk
        return bool(chunk)

    def has_whole(self) -> bool:
        """Whether a whole value is here, without waiting for one."""
        if not self.is_complete():
            with suppress(BlockingIOError, ConnectionResetError):
                self._received += self._socket.recv(_CHUNK_BYTES, MSG_DONTWAIT)
        return self.is_complete()

    def is_complete(self) -> bool:
        """Whether a whole value has been read."""
        received = self._received
        return len(received) >= _LENGTH.size and len(received) >= _LENGTH.size + _LENGTH.unpack_from(received)[0]

    def take(self) -> Any:
        """Return the value that has been read. Raises whatever its class raises when it is made again."""
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        content = bytes(self._received[_LENGTH.size : end])
        del self._received[:end]
        return pickle.loads(content)  # noqa: S301  # from our own process

    @staticmethod
    def survives(value: Any) -> bool:
        """Whether a value arrives at the other end. Some exceptions can be pickled, but not made again."""
        try:
            pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))  # noqa: S301  # our own value
        except Exception:  # noqa: BLE001  # a foreign class may raise anything
            return False
        return True

    def end(self) -> None:
        """Let the other end receive EOFError; what it sends still arrives."""
        self._socket.shutdown(SHUT_WR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
