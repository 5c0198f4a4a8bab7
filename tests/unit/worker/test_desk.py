"""A pool process's desk: it knows its next calls without reading for them, and can hold answers back."""

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from worker.board import Board
from worker.call_stream import CallStream
from worker.desk import Desk


@dataclass
class Ends:
    """The worker's end of the stream, and the process's desk at the other."""

    worker: CallStream
    board: Board
    desk: Desk

    def received(self) -> list[object]:
        """What the worker has got so far."""
        values = []
        while select.select([self.worker], [], [], 0)[0]:
            assert self.worker.read()
            while self.worker.is_complete():
                values.append(self.worker.take())
        return values


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    board = Board()
    yield Ends(CallStream(ours), board, Desk(CallStream(theirs), board))
    ours.close()
    theirs.close()


def test_calls_come_in_their_order_and_are_counted(ends: Ends) -> None:
    for call in ("first", "second", "third"):
        ends.worker.send(call)
    assert [(ends.desk.take(), ends.desk.number, ends.desk.peek(2)) for _ in range(3)] == [
        ("first", 1, ["second", "third"]),
        ("second", 2, ["third"]),
        ("third", 3, []),
    ]


def test_board_says_which_call_has_begun(ends: Ends) -> None:
    assert ends.board.begun == 0
    for number in (1, 2):
        ends.worker.send("call")
        ends.desk.take()
        assert ends.board.begun == number


def test_peek_does_not_read(ends: Ends) -> None:
    ends.worker.send("first")
    ends.desk.take()
    ends.worker.send("second")
    assert ends.desk.peek(1) == []
    assert ends.desk.take() == "second"


def test_closed_board_shows_no_next_call(ends: Ends) -> None:
    ends.worker.send("first")
    ends.worker.send("second")
    ends.desk.take()
    ends.board.close()
    assert ends.desk.peek(1) == []


def test_end_comes_after_the_last_call(ends: Ends) -> None:
    ends.worker.send("last")
    ends.worker.end()
    assert ends.desk.take() == "last"
    with pytest.raises(EOFError):
        ends.desk.take()


def test_answers_that_were_held_back_go_with_the_next_one(ends: Ends) -> None:
    ends.desk.hold()
    ends.desk.answer("first")
    ends.desk.answer("second")
    assert ends.received() == []
    ends.desk.release()
    ends.desk.answer("third")
    assert ends.received() == ["first", "second", "third"]


def test_nothing_is_held_back_while_the_process_waits(ends: Ends) -> None:
    """What is done at rest comes first: it writes what the answers stand for."""
    order: list[object] = []
    ends.desk.at_rest = lambda: order.extend(["at rest", *ends.received()])
    ends.desk.hold()
    ends.desk.answer("done")
    ends.worker.end()
    with pytest.raises(EOFError):
        ends.desk.take()
    assert order == ["at rest"]
    assert ends.received() == ["done"]


def test_process_does_not_rest_while_calls_are_there(ends: Ends) -> None:
    rests: list[int] = []
    ends.desk.at_rest = lambda: rests.append(ends.desk.number)
    for _ in range(3):
        ends.worker.send("call")
    for _ in range(3):
        ends.desk.take()
    assert rests == []
