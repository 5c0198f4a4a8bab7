from collections.abc import Sequence

import pytest

from scheduler.broker_link import BrokerLink
from scheduler.brokers.publisher import BrokerBlockedError, BrokerUnavailableError, DueJob


class RecordedPublisher:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.tended = 0
        self.is_closed = False

    def ready(self, queue: str) -> int:
        return 0

    def publish(self, queue: str, jobs: Sequence[DueJob]) -> list[DueJob]:
        return list(jobs)

    def tend(self) -> None:
        self.tended += 1

    def close(self) -> None:
        self.is_closed = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_connection_is_made_once_and_tended_once_a_second() -> None:
    clock, made = Clock(), []

    def connect() -> RecordedPublisher:
        made.append(RecordedPublisher())
        return made[-1]

    link = BrokerLink(connect, clock)
    for tenth in range(31):
        clock.now = tenth / 10
        link.publisher()
    assert len(made) == 1
    assert made[0].tended == 3


def test_a_failed_connection_is_closed_and_made_anew() -> None:
    link = BrokerLink(RecordedPublisher)
    first = link.publisher()
    link.failed(BrokerUnavailableError("gone"))
    assert isinstance(first, RecordedPublisher)
    assert first.is_closed
    assert link.publisher() is not first


def test_a_blocked_connection_is_kept() -> None:
    link = BrokerLink(RecordedPublisher)
    first = link.publisher()
    link.failed(BrokerBlockedError("memory alarm"))
    assert link.publisher() is first


def test_pauses_grow_until_the_broker_works_again() -> None:
    link = BrokerLink(RecordedPublisher)
    pauses = [link.failed(BrokerUnavailableError("gone")) for _ in range(6)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    link.worked()
    assert link.failed(BrokerUnavailableError("gone")) == 0.1


def test_a_broker_that_cannot_be_reached_raises() -> None:
    def connect() -> RecordedPublisher:
        raise BrokerUnavailableError("refused")

    with pytest.raises(BrokerUnavailableError, match="refused"):
        BrokerLink(connect).publisher()
