"""Clients that mean no good, each kind again and again, in a process of their own: what they do, and what they saw."""

import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, Self

from api.room import fit_to_system
from tests.stack import ROOT

HOST: Final = "127.0.0.1"
DRIP_S: Final = 0.5
STAY_S: Final = 0.3
AGAIN_S: Final = 0.05
#: Longer than the api puts up with it.
TAKE_NOTHING_S: Final = 35.0
CONNECT_LIMIT_S: Final = 10.0
END_LIMIT_S: Final = 10.0
#: More than the buffers of the system take.
ANSWERS: Final = 30

_FIELDS: Final = b"Host: localhost\r\nContent-Type: application/json\r\n"
_TLS_HELLO: Final = bytes.fromhex("16030100f8010000f40303") + bytes(240)
#: Close with a reset (Linux, socket(7)): linger for 0 s.
_RESET: Final = struct.pack("ii", 1, 0)

Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many of each kind there are at a time."""

    idle: int
    others: int  # of each of the other kinds

    @property
    def size(self) -> int:
        """How many there are in all."""
        return self.idle + 6 * self.others


@dataclass(frozen=True, slots=True)
class Targets:
    """Jobs for them to ask for: one that is not due, and one with much to read."""

    waiting_id: str
    large_id: str


@dataclass(frozen=True, slots=True)
class Sightings:
    """What a crowd did, by kind, and the longest time that an unfinished head was kept."""

    acts: dict[str, int]
    longest_head_s: float


class HostileClients:
    """Keeps a crowd at work, in a process of its own: nobody shall have to wait for it."""

    def __init__(self, port: int, crowd: Crowd, targets: Targets) -> None:
        words = (port, crowd.idle, crowd.others, targets.waiting_id, targets.large_id)
        command = [sys.executable, "-P", "-m", "tests.faults.hostile_clients", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd="/")

    def __enter__(self) -> Self:
        """Let them work until end() or __exit__."""
        return self

    def end(self) -> Sightings:
        """Let all go, without a word to the server; return what they saw."""
        output, _ = self._process.communicate(timeout=END_LIMIT_S)
        assert self._process.returncode == 0
        return Sightings(**json.loads(output))

    def __exit__(self, *_: object) -> None:
        """See to it that they are gone."""
        self._process.kill()
        self._process.communicate()


class _Work:
    """What goes on in their process, until its standard input ends."""

    def __init__(self, port: int, crowd: Crowd, targets: Targets) -> None:
        self._port = port
        self._crowd = crowd
        self._targets = targets
        self._rng = random.Random(7)
        self._acts: Counter[str] = Counter()
        self._longest_head_s = 0.0
        self._is_over = asyncio.Event()

    async def run(self) -> Sightings:
        """Work."""
        acts = (
            self._drip_head,
            self._abort_body,
            self._leave_wait,
            self._leave_stream,
            self._take_nothing,
            self._send_garbage,
        )
        crowd = [self._stay_idle] * self._crowd.idle + [act for act in acts for _ in range(self._crowd.others)]
        tasks = [asyncio.create_task(self._repeat(act)) for act in crowd]
        await asyncio.to_thread(sys.stdin.read)
        self._is_over.set()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if errors:
            raise errors[0]
        return Sightings(dict(self._acts), self._longest_head_s)

    async def _repeat(self, act: Act) -> None:
        await asyncio.sleep(self._rng.random())
        while not self._is_over.is_set():
            # being thrown out is what they are used to
            with suppress(ConnectionError, TimeoutError):
                await act()
                self._acts[act.__name__.lstrip("_")] += 1
            await asyncio.sleep(AGAIN_S)

    async def _stay_idle(self) -> None:
        async with _Visit(self._port) as visit:
            await visit.read_to_end()

    async def _drip_head(self) -> None:
        async with _Visit(self._port) as visit:
            began = time.monotonic()
            visit.send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            end = asyncio.create_task(visit.read_to_end())
            try:
                while not (await asyncio.wait({end}, timeout=DRIP_S))[0]:
                    visit.send(b"a")
            finally:
                end.cancel()
            self._longest_head_s = max(self._longest_head_s, time.monotonic() - began)

    async def _abort_body(self) -> None:
        async with _Visit(self._port) as visit:
            path = self._rng.choice([b"/effects.quick", b"/jobs/batch"])
            visit.send(b"POST " + path + b" HTTP/1.1\r\n" + _FIELDS + b'Content-Length: 100000\r\n\r\n{"jobs": [')
            visit.send(b" " * self._rng.randrange(50_000))
            await asyncio.sleep(self._rng.random() * STAY_S)

    async def _leave_wait(self) -> None:
        async with _Visit(self._port) as visit:
            visit.send(f"GET /status/{self._targets.waiting_id}?wait=30 HTTP/1.1\r\n".encode() + _FIELDS + b"\r\n")
            await asyncio.sleep(STAY_S)

    async def _leave_stream(self) -> None:
        async with _Visit(self._port) as visit:
            visit.send(f"GET /jobs/{self._targets.waiting_id}/events HTTP/1.1\r\n".encode() + _FIELDS + b"\r\n")
            await asyncio.sleep(STAY_S)

    async def _take_nothing(self) -> None:
        async with _Visit(self._port, receive_buffer_bytes=4096) as visit:
            visit.pause_reading()
            visit.send((f"GET /jobs/{self._targets.large_id} HTTP/1.1\r\n".encode() + _FIELDS + b"\r\n") * ANSWERS)
            await asyncio.sleep(TAKE_NOTHING_S)  # who does not read does not see the end

    async def _send_garbage(self) -> None:
        async with _Visit(self._port) as visit:
            visit.send(self._rng.choice([_TLS_HELLO, self._rng.randbytes(2000), b"\r\n" * 100 + b"PRI * HTTP/2.0\r\n\r\n"]))
            await visit.read_to_end()


class _Visit(asyncio.Protocol):
    """One connection; it is left with a reset, as by a client that was killed."""

    def __init__(self, port: int, receive_buffer_bytes: int = 0) -> None:
        self._port = port
        self._receive_buffer_bytes = receive_buffer_bytes
        self._end = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        endpoint = socket.socket()
        endpoint.setblocking(False)
        if self._receive_buffer_bytes:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await loop.sock_connect(endpoint, (HOST, self._port))
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport, _ = await loop.create_connection(lambda: self, sock=endpoint)
        except BaseException:
            endpoint.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, whoever made it."""
        if not self._end.done():
            self._end.set_result(None)

    def send(self, data: bytes) -> None:
        """Send, if the server still listens."""
        self._transport.write(data)

    def pause_reading(self) -> None:
        """Read nothing from now on."""
        self._transport.pause_reading()

    async def read_to_end(self) -> None:
        """Return when the server has closed the connection."""
        await asyncio.shield(self._end)


def main() -> None:
    """Work as the command line says; print the sightings as JSON."""
    port, idle, others, waiting_id, large_id = sys.argv[1:]
    crowd = Crowd(int(idle), int(others))
    assert fit_to_system(crowd.size) == crowd.size, "raise ulimit -n"
    sightings = asyncio.run(_Work(int(port), crowd, Targets(waiting_id, large_id)).run())
    print(json.dumps(asdict(sightings)))


if __name__ == "__main__":
    main()
