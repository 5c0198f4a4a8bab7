"""The worker waits for a broker that is away or refuses it, and says so once."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import AccessRefused
from structlog.testing import capture_logs

from worker import consumer
from worker.consumer import Consumer
from worker.loop_watch import LoopWatch


class RefusingConnection:
    """Refuses the first so many tries."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def as_uri(self) -> str:
        return "amqp://worker:**@rabbitmq//"

    def ensure_connection(self, _tell: Callable[..., None], **_: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AccessRefused("ACCESS_REFUSED")


def make_consumer() -> Any:
    worker = Consumer.__new__(Consumer)
    worker.app = SimpleNamespace(loop_watch=LoopWatch())
    return worker


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "RECONNECT_S", 0.0)


def test_worker_waits_until_its_password_is_taken() -> None:
    connection = RefusingConnection(refusals=3)
    with capture_logs() as logs:
        assert make_consumer().ensure_connected(connection) is connection
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]
    assert "ACCESS_REFUSED" in logs[0]["error"]
    assert logs[1]["tries"] == 3


def test_broker_that_is_there_is_not_spoken_of() -> None:
    with capture_logs() as logs:
        make_consumer().ensure_connected(RefusingConnection(refusals=0))
    assert logs == []


def test_lost_connection_is_one_line_and_so_is_the_next_one() -> None:
    worker = make_consumer()
    with capture_logs() as logs:
        worker.on_connection_error_after_connected(ConnectionResetError(104, "reset"))
        assert [line["event"] for line in logs] == ["broker.lost"]
        worker.ensure_connected(RefusingConnection(refusals=2))
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]


def test_connection_that_is_back_at_once_is_said_to_be_back() -> None:
    worker = make_consumer()
    with capture_logs() as logs:
        worker.on_connection_error_after_connected(ConnectionResetError(104, "reset"))
        worker.ensure_connected(RefusingConnection(refusals=0))
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]


def test_waiting_for_a_broker_is_no_hung_loop() -> None:
    worker = make_consumer()
    worker.ensure_connected(RefusingConnection(refusals=1))
    assert worker.app.loop_watch.is_turning
    assert worker.app.loop_watch.consumes
