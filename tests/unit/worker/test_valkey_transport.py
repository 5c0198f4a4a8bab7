"""What is an entry's fault, and what is not."""

from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest
from kombu.transport import redis
from redis.exceptions import ResponseError

from worker.message_gate import Fault, RefusedMessages, UnreadableMessageError
from worker.transports.valkey import Channel, HandlerError


class Refused(RefusedMessages):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []

    def note(self, fault: Fault, example: object) -> None:
        self.faults.append(fault)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    refused = Refused()
    monkeypatch.setattr(Channel, "refused", refused, raising=False)
    return refused


def channel_that_meets(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Channel:
    def read(_self: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(redis.Channel, "_brpop_read", read)
    return Channel.__new__(Channel)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (UnreadableMessageError(Fault.HEADERS, {}), Fault.HEADERS),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), Fault.FORM),
        (KeyError("properties"), Fault.FORM),
        (RecursionError(), Fault.FORM),
    ],
)
def test_entry_that_cannot_be_read_is_refused(
    error: Exception, fault: Fault, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert channel_that_meets(error, monkeypatch)._brpop_read() is True
    assert refused.faults == [fault]


@pytest.mark.parametrize("error", [ResponseError("READONLY"), ConnectionResetError(), Empty()], ids=repr)
def test_fault_of_the_server_is_raised(error: Exception, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        channel_that_meets(error, monkeypatch)._brpop_read()
    assert refused.faults == []


def test_defect_of_the_consumer_is_raised_as_it_is(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    callbacks: list[Callable[[Any], Any]] = []

    def consume(_self: object, _queue: str, _no_ack: bool, callback: Callable[[Any], Any], *_: object) -> None:
        callbacks.append(callback)

    def handle(_message: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(redis.Channel, "basic_consume", consume)
    Channel.__new__(Channel).basic_consume("default.classic", False, handle, "1")
    with pytest.raises(HandlerError) as raised:
        callbacks[0]("a message")
    with pytest.raises(ValueError, match="a defect"):
        channel_that_meets(raised.value, monkeypatch)._brpop_read()
    assert refused.faults == []
