"""Messages are acknowledged together, and never one that has not ended."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from worker.acknowledgements import Acknowledgements


@dataclass
class Message:
    channel: list[tuple[int, bool]]
    delivery_tag: int

    def ack(self, multiple: bool = False) -> None:
        self.channel.append((self.delivery_tag, multiple))


@dataclass
class Loop:
    soon: list[Any] = field(default_factory=list)
    later: list[Any] = field(default_factory=list)

    def call_soon(self, callback: Any) -> None:
        self.soon.append(callback)

    def call_later(self, _delay_s: float, callback: Any, *args: Any) -> None:
        self.later.append((callback, args))

    def run(self) -> None:
        for callback, args in self.later:
            callback(*args)
        for callback in self.soon:
            callback()
        self.later.clear()
        self.soon.clear()


@pytest.fixture
def loop() -> Loop:
    return Loop()


def acknowledging(loop: Loop, limit: int) -> Acknowledgements:
    acknowledgements = Acknowledgements(limit)
    acknowledgements.register_with_event_loop(loop)
    return acknowledgements


def arrive(acknowledgements: Acknowledgements, count: int, channel: list[Any] | None = None) -> list[Message]:
    channel = [] if channel is None else channel
    messages = [Message(channel, tag) for tag in range(1, count + 1)]
    for message in messages:
        acknowledgements.arrive(message)
    return messages


@pytest.mark.parametrize(
    ("ended", "sent"),
    [
        ([1], [(1, True)]),
        ([1, 2, 3], [(3, True)]),
        ([3, 1, 2], [(3, True)]),
        ([2], [(2, False)]),
        ([1, 2, 4], [(2, True), (4, False)]),
        ([3, 4], [(3, False), (4, False)]),
    ],
)
def test_one_frame_up_to_the_first_that_still_runs(loop: Loop, ended: list[int], sent: list[tuple[int, bool]]) -> None:
    acknowledgements = acknowledging(loop, limit=100)
    messages = arrive(acknowledgements, 5)
    for tag in ended:
        acknowledgements.finish(messages[tag - 1])
    assert messages[0].channel == []
    assert len(loop.later) == 1
    loop.run()
    assert sorted(messages[0].channel) == sent


def test_nothing_is_acknowledged_twice(loop: Loop) -> None:
    acknowledgements = acknowledging(loop, limit=100)
    messages = arrive(acknowledgements, 3)
    for message in messages:
        acknowledgements.finish(message)
        acknowledgements.flush()
    acknowledgements.flush()
    assert messages[0].channel == [(1, True), (2, True), (3, True)]
    assert len(loop.later) == 3


def test_at_the_limit_they_go_at_once(loop: Loop) -> None:
    acknowledgements = acknowledging(loop, limit=2)
    messages = arrive(acknowledgements, 5)
    acknowledgements.finish(messages[0])
    assert not loop.soon
    acknowledgements.finish(messages[1])
    loop.soon[0]()
    assert messages[0].channel == [(2, True)]


def test_messages_of_a_lost_connection_are_left_to_the_broker(loop: Loop) -> None:
    acknowledgements = acknowledging(loop, limit=2)
    old = arrive(acknowledgements, 2)
    acknowledgements.finish(old[0])
    acknowledgements.register_with_event_loop(loop)  # as with a new connection
    new = arrive(acknowledgements, 2)
    acknowledgements.finish(old[1])
    acknowledgements.finish(new[0])
    loop.run()
    assert old[0].channel == []
    assert new[0].channel == [(1, True)]


def test_what_ends_after_the_connection_was_lost_is_not_sent_on_the_old_one(loop: Loop) -> None:
    acknowledgements = acknowledging(loop, limit=2)
    old = arrive(acknowledgements, 2)
    acknowledgements.register_with_event_loop(loop)
    acknowledgements.finish(old[0])
    loop.run()
    assert old[0].channel == []
