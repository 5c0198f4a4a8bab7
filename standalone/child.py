"""One process of ours: in a session of its own, on the leash, its output read line by line."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Takes whole lines of output.
Sink = Callable[[list[bytes]], Awaitable[None]]

_CHUNK_BYTES: Final = 65536
#: A line that grows beyond this is broken in two.
_LONGEST_LINE_BYTES: Final = 1024 * 1024
#: Output that is still in the pipe when a process has ended is read for this long: somebody else may hold the pipe open.
_LAST_OUTPUT_S: Final = 1.0


class Child:
    """A running process; wait() for its end."""

    def __init__(self, process: Process, output: "Output | None") -> None:
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """Its process id, and that of its process group."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The last line that it wrote and that is not empty."""
        return self._output.last_words if self._output else ""

    async def wait(self) -> int:
        """Return its exit code when it has ended and with it all that it started in its process group."""
        code = await self._process.wait()
        self.kill()
        if self._output is not None:
            await self._output.finish()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; it alone, not its children."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9 it and its process group."""
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: none of them is alive or ours any more
            os.killpg(self.pid, signal.SIGKILL)


class Output:
    """What comes out of a pipe, passed on in whole lines.

    A pipe of ours, and none of asyncio's: some versions of its Process.wait() return only when all pipes are closed, and an
    orphan of the process may hold them open.
    """

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, sink: Sink) -> None:
        self._reader = reader
        self._transport = transport
        self._sink = sink
        self._last_lines: deque[bytes] = deque(maxlen=20)
        self._reading = asyncio.create_task(self._read())

    @property
    def last_words(self) -> str:
        """The last line that is not empty."""
        return next((line.decode(errors="replace") for line in reversed(self._last_lines) if line.strip()), "")

    async def finish(self) -> None:
        """Read what is still there, and close the pipe."""
        await asyncio.wait([self._reading], timeout=_LAST_OUTPUT_S)
        self._reading.cancel()
        self._transport.close()

    async def _read(self) -> None:
        rest = b""
        while chunk := await self._reader.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            await self._pass_on(lines)
        await self._pass_on([rest] if rest else [])

    async def _pass_on(self, lines: list[bytes]) -> None:
        self._last_lines.extend(lines)
        if lines:
            await self._sink(lines)


async def start_child(command: Sequence[str], environment: Mapping[str, str], output: Sink | Path) -> Child:
    """Start a command, which leash.leashed() made; its output goes to a sink, or is appended to a file."""
    if isinstance(output, Path):
        with output.open("ab") as log:
            return Child(await _start(command, environment, log.fileno()), None)
    read_end, write_end = os.pipe()
    try:
        process = await _start(command, environment, write_end)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    return Child(process, Output(reader, transport, output))


async def run_to_end(command: Sequence[str], environment: Mapping[str, str], output: Sink) -> tuple[int, str]:
    """Run a command; return its exit code and its last words. It is killed if the caller is cancelled."""
    child = await start_child(command, environment, output)
    try:
        return await child.wait(), child.last_words
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise


async def _start(command: Sequence[str], environment: Mapping[str, str], output: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=DEVNULL, stdout=output, stderr=STDOUT, start_new_session=True
    )
