"""The load generator against a server that misbehaves on purpose."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.load import Load, LoadResult, post, run_load

OK = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok"


class Server(asyncio.Protocol):
    """Answers each request with these pieces, one write after the other; closes then if asked."""

    def __init__(self, pieces: Sequence[bytes], closes: bool, ended: asyncio.Queue[None]) -> None:
        self._pieces = pieces
        self._closes = closes
        self._ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"POST /add HTTP/1.1\r\n")
        self._write(0)

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self._ended.put_nowait(None)

    def _write(self, number: int) -> None:
        if number < len(self._pieces):
            self._transport.write(self._pieces[number])
            asyncio.get_running_loop().call_later(0.001, self._write, number + 1)
        elif self._closes:
            self._transport.close()


def _load(*pieces: bytes, count: int | None = 3, duration_s: float | None = None, closes: bool = False) -> LoadResult:
    async def run() -> LoadResult:
        ended: asyncio.Queue[None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: Server(pieces, closes, ended), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            result = await run_load(Load(port, lambda _: post("/add", b"{}"), 1, count, duration_s))
            await ended.get()
            return result

    return asyncio.run(run())


def test_each_request_has_one_answer() -> None:
    result = _load(OK)
    assert [(answer.index, answer.status, answer.body) for answer in result.answers] == [(n, 202, b"ok") for n in range(3)]


def test_an_answer_that_arrives_in_pieces_is_one_answer() -> None:
    assert [answer.body for answer in _load(OK[:10], OK[10:-1], OK[-1:]).answers] == [b"ok"] * 3


def test_the_case_of_a_header_does_not_matter() -> None:
    assert [answer.body for answer in _load(OK.replace(b"content-length", b"Content-Length")).answers] == [b"ok"] * 3


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Internal Server Error", b"302 Found", b"503 Busy"])
def test_only_2xx_counts(status: bytes) -> None:
    result = _load(OK.replace(b"202 Accepted", status))
    assert result.rate_per_s == 0
    assert not any(answer.is_success for answer in result.answers)


def test_a_connection_that_breaks_is_an_answer_without_success() -> None:
    answers = _load(OK[:-1], count=1, closes=True).answers
    assert [(answer.status, answer.is_success) for answer in answers] == [(0, False)]


def test_a_load_ends_with_its_duration() -> None:
    result = _load(OK, count=None, duration_s=0.5)
    assert len(result.answers) > 1
    assert result.elapsed_s >= 0.4
