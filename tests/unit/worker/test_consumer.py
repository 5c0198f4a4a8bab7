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
from worker.message_gate import RefusedMessages
from worker.queue_selection import QueueSelection


class RefusingConnection:
    """Refuses the first so many tries."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.is_closed = False
        self.transport = None

    def collect(self, socket_timeout: float) -> None:
        assert socket_timeout > 0.0

    def close(self) -> None:
        self.is_closed = True

    def as_uri(self) -> str:
        return "amqp://worker:**@rabbitmq//"

    def ensure_connection(self, _tell: Callable[..., None], **_: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AccessRefused("ACCESS_REFUSED")


def make_consumer() -> Any:
    worker = Consumer.__new__(Consumer)
    queues = SimpleNamespace(consume_from={"default": None})
    worker.app = SimpleNamespace(
        loop_watch=LoopWatch(), refused_messages=RefusedMessages(), amqp=SimpleNamespace(queues=queues)
    )
    worker.queue_selection = QueueSelection(queues)
    worker.init_callback = None
    return worker


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "RECONNECT_S", 0.0)


def get_ready(worker: Any, connection: RefusingConnection) -> None:
    """Connect, and take messages from then on."""
    worker.connection = worker.ensure_connected(connection)
    worker.on_ready()


def test_worker_waits_until_its_password_is_taken() -> None:
    with capture_logs() as logs:
        get_ready(make_consumer(), RefusingConnection(refusals=3))
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]
    assert "ACCESS_REFUSED" in logs[0]["error"]
    assert logs[1]["tries"] == 3


def test_broker_that_is_there_is_not_spoken_of() -> None:
    with capture_logs() as logs:
        get_ready(make_consumer(), RefusingConnection(refusals=0))
    assert logs == []


@pytest.mark.parametrize("refusals", [0, 2])
def test_lost_connection_is_one_line_is_closed_and_is_back_in_another_line(refusals: int) -> None:
    worker = make_consumer()
    lost = worker.connection = RefusingConnection(refusals=0)
    with capture_logs() as logs:
        worker.on_connection_error_after_connected(ConnectionResetError(104, "reset"))
        assert [line["event"] for line in logs] == ["broker.lost"]
        assert (lost.is_closed, worker.connection) == (True, None)
        get_ready(worker, RefusingConnection(refusals))
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]


def test_broker_that_takes_connections_and_refuses_their_use_is_told_of_once() -> None:
    worker = make_consumer()
    with capture_logs() as logs:
        for _ in range(5):
            worker.connection = worker.ensure_connected(RefusingConnection(refusals=0))
            worker.on_connection_error_after_connected(ConnectionError("READONLY"))
        get_ready(worker, RefusingConnection(refusals=0))
    assert [line["event"] for line in logs] == ["broker.lost", "broker.restored"]


def test_waiting_for_a_broker_is_no_hung_loop() -> None:
    worker = make_consumer()
    worker.ensure_connected(RefusingConnection(refusals=1))
    assert worker.app.loop_watch.works


def test_a_stopping_worker_turns_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_consumer()
    get_ready(worker, RefusingConnection(refusals=0))
    worker.app.loop_watch.let_off(works=False)
    monkeypatch.setattr("celery.worker.state.should_stop", 0)
    worker._turn()
    assert not worker.app.loop_watch.works
