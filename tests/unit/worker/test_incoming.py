"""A pool process knows its next call without reading for it: a signal may raise while the outcome is recorded."""

import socket
from collections.abc import Iterator

import pytest

from worker.board import Board
from worker.call_stream import CallStream
from worker.incoming import Incoming


@pytest.fixture
def ends() -> Iterator[tuple[CallStream, CallStream]]:
    ours, theirs = socket.socketpair()
    yield CallStream(ours), CallStream(theirs)
    ours.close()
    theirs.close()


def test_calls_come_in_their_order_and_are_counted(ends: tuple[CallStream, CallStream]) -> None:
    worker, process = ends
    incoming = Incoming(process, Board())
    for call in ("first", "second", "third"):
        worker.send(call)
    assert [(incoming.take(), incoming.number, incoming.peek()) for _ in range(3)] == [
        ("first", 1, "second"),
        ("second", 2, "third"),
        ("third", 3, None),
    ]


def test_peek_does_not_read(ends: tuple[CallStream, CallStream]) -> None:
    worker, process = ends
    incoming = Incoming(process, Board())
    worker.send("first")
    incoming.take()
    worker.send("second")
    assert incoming.peek() is None
    assert incoming.take() == "second"


def test_closed_board_shows_no_next_call(ends: tuple[CallStream, CallStream]) -> None:
    worker, process = ends
    board = Board()
    incoming = Incoming(process, board)
    worker.send("first")
    worker.send("second")
    incoming.take()
    board.close()
    assert incoming.peek() is None


def test_end_comes_after_the_last_call(ends: tuple[CallStream, CallStream]) -> None:
    worker, process = ends
    incoming = Incoming(process, Board())
    worker.send("last")
    worker.end()
    assert incoming.take() == "last"
    with pytest.raises(EOFError):
        incoming.take()
