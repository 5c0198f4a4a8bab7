"""A light HTTP/1.1 load generator: keep-alive connections, each with one request under way at a time.

It shares the processor with the servers that it measures, so it does little: it looks for the end of an answer and keeps its
bytes. What the answers say is checked after the clock has stopped.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final, cast

#: An answer that takes longer fails the run.
ANSWER_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for the request of this index; status 0: the connection broke first."""

    index: int
    status: int
    body: bytes
    latency_s: float

    @property
    def is_success(self) -> bool:
        """Only 2xx counts."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: the bytes of each request by its index, until `count` are sent or `duration_s` is over."""

    port: int
    request: Callable[[int], bytes]
    connections: int
    count: int | None = None
    duration_s: float | None = None


@dataclass(slots=True)
class LoadResult:
    """All answers, in the order of arrival, and the seconds from the first request to the last answer."""

    elapsed_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    @property
    def rate_per_s(self) -> float:
        """Successful requests per second."""
        return sum(answer.is_success for answer in self.answers) / self.elapsed_s

    def percentile_ms(self, percent: int) -> float:
        """Return the latency that `percent` % of the requests did not exceed."""
        return quantiles([answer.latency_s * 1000 for answer in self.answers], n=100, method="inclusive")[percent - 1]


class _Run:
    """One load under way: which request comes next, and when all is over."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._next_index = 0
        self._under_way = 0
        self._stop_at = float("inf")
        self.result = LoadResult()
        self.is_over = asyncio.get_running_loop().create_future()

    def begin(self, connections: list["_Connection"]) -> float:
        started_at = time.perf_counter()
        if self._load.duration_s is not None:
            self._stop_at = started_at + self._load.duration_s
        for connection in connections:
            connection.send_next(started_at)
        self._end_when_idle()
        return started_at

    def next_request(self, now: float) -> tuple[int, bytes] | None:
        index = self._next_index
        if now >= self._stop_at or index == self._load.count:
            return None
        self._next_index += 1
        self._under_way += 1
        return index, self._load.request(index)

    def finish(self, answer: Answer) -> None:
        self._under_way -= 1
        self.result.answers.append(answer)

    def _end_when_idle(self) -> None:
        if self._under_way == 0 and not self.is_over.done():
            self.is_over.set_result(time.perf_counter())

    after_send = _end_when_idle


class _Connection(asyncio.Protocol):
    """One keep-alive connection. Understands answers with a Content-Length, which is all that these servers send."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._index: int | None = None
        self._sent_at = 0.0
        self.is_lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def send_next(self, now: float) -> None:
        request = None if self._transport is None else self._run.next_request(now)
        if request is None or self._transport is None:
            self._index = None
            return
        self._index, data = request
        self._sent_at = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            self._received = received
            return
        body_at = head_end + 4
        if len(received) - body_at < _content_length(received[:head_end]):
            self._received = received
            return
        self._received = b""
        self._finish(int(received[9:12]), received[body_at:])

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_lost.set_result(None)
        if self._index is not None:
            self._finish(0, str(exc or "the server closed the connection").encode())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _finish(self, status: int, body: bytes) -> None:
        assert self._index is not None
        now = time.perf_counter()
        self._run.finish(Answer(self._index, status, body, now - self._sent_at))
        self.send_next(now)
        self._run.after_send()


def _content_length(head: bytes) -> int:
    _, name, rest = head.lower().partition(b"\r\ncontent-length:")
    if not name:
        raise ValueError(f"an answer without Content-Length: {head!r}")
    return int(rest.split(b"\r\n", 1)[0])


async def run_load(load: Load) -> LoadResult:
    """Open the connections, then send; return when every request that was sent has its answer.

    Raises TimeoutError when an answer takes longer than ANSWER_LIMIT_S.
    """
    loop = asyncio.get_running_loop()
    run = _Run(load)
    connections = [
        (await loop.create_connection(lambda: _Connection(run), "127.0.0.1", load.port))[1] for _ in range(load.connections)
    ]
    gc.collect()
    gc.disable()
    try:
        started_at = run.begin(connections)
        run.result.elapsed_s = await _wait_for_end(run) - started_at
    finally:
        gc.enable()
        for connection in connections:
            connection.close()
        await asyncio.wait([connection.is_lost for connection in connections])
    return run.result


async def _wait_for_end(run: _Run) -> float:
    """Return when the run is over; give up when nothing has been answered for ANSWER_LIMIT_S."""
    answered = -1
    while answered != len(run.result.answers):
        answered = len(run.result.answers)
        done, _ = await asyncio.wait([run.is_over], timeout=ANSWER_LIMIT_S)
        if done:
            return float(run.is_over.result())
    raise TimeoutError(f"no answer for {ANSWER_LIMIT_S:g} s after {answered} answers")


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def get(path: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
