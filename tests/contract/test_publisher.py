"""One suite for both brokers: what a publisher sends, what it counts, and how long it waits."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import kombu
import pytest

from core.queues import DEFAULT_QUEUE, broker_queue
from core.settings import Settings
from scheduler.brokers import amqp_publisher, make_publisher, message, valkey_publisher
from scheduler.brokers.amqp_publisher import AmqpPublisher
from scheduler.brokers.publisher import BrokerBlockedError, BrokerUnavailableError, DueJob, Publisher
from tests.contract.worker_rig import wait_for
from tests.engines import EngineProcess
from tests.rabbitmq import RabbitMQProcess
from tests.tcp_proxy import TcpProxy


@pytest.fixture
def broker_settings(broker_url: str) -> Settings:
    return Settings(database_url="postgresql://nowhere", broker_url=broker_url)


@pytest.fixture
def publisher(broker_settings: Settings) -> Iterator[Publisher]:
    publisher = make_publisher(broker_settings)
    yield publisher
    publisher.close()


@pytest.fixture
def rabbit_publisher(rabbitmq_url: str) -> Iterator[AmqpPublisher]:
    publisher = AmqpPublisher(Settings(database_url="postgresql://nowhere", broker_url=rabbitmq_url))
    yield publisher
    publisher.close()


@pytest.fixture
def broker(request: pytest.FixtureRequest, broker_url: str) -> EngineProcess:
    """The engine behind broker_url."""
    engine: EngineProcess = request.getfixturevalue("rabbitmq" if broker_url.startswith("amqp") else "valkey")
    return engine


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers that wait two seconds instead of ten."""
    for module in (amqp_publisher, valkey_publisher):
        monkeypatch.setattr(module, "SOCKET_TIMEOUT_S", 2.0)


def some_jobs(count: int) -> list[DueJob]:
    return [DueJob(str(uuid4()), series, "tasks.add") for series in range(1, count + 1)]


def read(settings: Settings, count: int, **options: Any) -> list[Any]:
    """Take messages as kombu's consumers see them."""
    with kombu.Connection(settings.broker_url) as connection:
        bound = broker_queue(DEFAULT_QUEUE, settings)(connection.default_channel)
        return [bound.get(no_ack=True, **options) for _ in range(count)]


def test_a_message_is_to_the_letter_what_kombu_publishes(broker_settings: Settings, publisher: Publisher) -> None:
    job = DueJob(str(uuid4()), 3, "shop.größe.100%")
    publisher.ready(DEFAULT_QUEUE)
    publisher.publish(DEFAULT_QUEUE, [job])
    with kombu.Connection(broker_settings.broker_url) as connection:
        connection.Producer().publish(
            json.loads(message.BODY),
            serializer="json",
            headers=message.headers(job.task, job.task_id, job.series),
            exchange="",
            routing_key=broker_queue(DEFAULT_QUEUE, broker_settings).name,
            correlation_id=job.task_id,
        )
    ours, theirs = read(broker_settings, 2)
    for each in (ours, theirs):
        each.delivery_info.pop("delivery_tag", None)
        each.delivery_info.pop("message_count", None)
        each.properties.pop("delivery_tag", None)
    assert (ours.payload, ours.headers, ours.properties) == (theirs.payload, theirs.headers, theirs.properties)
    assert (ours.content_type, ours.content_encoding) == (theirs.content_type, theirs.content_encoding)
    assert ours.delivery_info == theirs.delivery_info


def test_all_messages_of_a_batch_arrive_in_order(broker_settings: Settings, publisher: Publisher) -> None:
    jobs = some_jobs(1201)
    publisher.ready(DEFAULT_QUEUE)
    assert publisher.publish(DEFAULT_QUEUE, jobs) == jobs
    assert publisher.ready(DEFAULT_QUEUE) == 1201
    arrived = [(each.headers["id"], each.headers["series"]) for each in read(broker_settings, 1201)]
    assert arrived == [(job.task_id, job.series) for job in jobs]


def test_no_two_messages_share_a_delivery_tag(broker_settings: Settings, publisher: Publisher) -> None:
    publisher.ready(DEFAULT_QUEUE)
    publisher.publish(DEFAULT_QUEUE, some_jobs(1) * 3)
    tags = {each.properties.get("delivery_tag", each.delivery_tag) for each in read(broker_settings, 3)}
    assert len(tags) == 3


def test_a_queue_that_nobody_has_used_has_nothing_ready(publisher: Publisher) -> None:
    assert publisher.ready("unused") == 0


def test_what_a_worker_has_taken_is_not_ready(broker_settings: Settings, publisher: Publisher) -> None:
    publisher.ready(DEFAULT_QUEUE)
    publisher.publish(DEFAULT_QUEUE, some_jobs(5))
    with kombu.Connection(broker_settings.broker_url) as connection:
        taken: list[Any] = []
        consumer = connection.Consumer(broker_queue(DEFAULT_QUEUE, broker_settings), on_message=taken.append)
        consumer.qos(prefetch_count=2)
        with consumer:
            while len(taken) < 2:
                connection.drain_events(timeout=5)
            assert publisher.ready(DEFAULT_QUEUE) == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "operation",
    [lambda publisher: publisher.publish(DEFAULT_QUEUE, some_jobs(100)), lambda publisher: publisher.ready(DEFAULT_QUEUE)],
    ids=["publish", "ready"],
)
def test_a_broker_that_falls_silent_is_given_up(
    broker_settings: Settings, broker: EngineProcess, operation: Callable[[Publisher], Any]
) -> None:
    publisher = make_publisher(broker_settings)
    publisher.ready(DEFAULT_QUEUE)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            operation(publisher)
        assert time.monotonic() - started_at < 8
    finally:
        os.kill(broker.pid, signal.SIGCONT)
        publisher.close()


def test_a_broker_that_is_not_there_is_told_at_once(broker_url: str) -> None:
    url = "amqp://guest:guest@127.0.0.1:1//" if broker_url.startswith("amqp") else "redis+socket:///nowhere?virtual_host=0"
    started_at = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="connect"):
        make_publisher(Settings(database_url="postgresql://nowhere", broker_url=url))
    assert time.monotonic() - started_at < 4


def test_tending_notices_that_valkey_is_gone_and_closing_does_not_mind(valkey: EngineProcess, valkey_url: str) -> None:
    publisher = make_publisher(Settings(database_url="postgresql://nowhere", broker_url=valkey_url))
    publisher.tend()
    valkey.kill()
    with pytest.raises(BrokerUnavailableError):
        publisher.tend()
    publisher.close()


@pytest.mark.parametrize(
    "operation",
    [lambda publisher: publisher.publish(DEFAULT_QUEUE, some_jobs(10)), lambda publisher: publisher.tend()],
    ids=["publishing", "tending"],
)
def test_a_connection_to_rabbitmq_that_is_cut_is_noticed(rabbitmq_url: str, operation: Callable[[Publisher], Any]) -> None:
    proxy, url = TcpProxy.before(rabbitmq_url)
    publisher = AmqpPublisher(Settings(database_url="postgresql://nowhere", broker_url=url))
    publisher.ready(DEFAULT_QUEUE)
    proxy.close()
    with pytest.raises(BrokerUnavailableError):
        operation(publisher)
    publisher.close()


def test_what_cannot_be_routed_is_not_confirmed_and_can_be_after_a_declaration(rabbit_publisher: AmqpPublisher) -> None:
    jobs = some_jobs(3)
    assert rabbit_publisher.publish(DEFAULT_QUEUE, jobs) == []
    rabbit_publisher.ready(DEFAULT_QUEUE)
    assert rabbit_publisher.publish(DEFAULT_QUEUE, jobs) == jobs
    assert rabbit_publisher.ready(DEFAULT_QUEUE) == 3


def test_what_the_broker_refuses_is_not_confirmed(rabbitmq_url: str, rabbit_publisher: AmqpPublisher) -> None:
    name = broker_queue(DEFAULT_QUEUE, Settings(database_url="postgresql://nowhere", broker_url=rabbitmq_url)).name
    limits = {"x-max-length": 2, "x-overflow": "reject-publish"}
    with kombu.Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_declare(name, durable=True, auto_delete=False, arguments=limits)
    confirmed = rabbit_publisher.publish(DEFAULT_QUEUE, some_jobs(1)) + rabbit_publisher.publish(DEFAULT_QUEUE, some_jobs(1))
    assert len(confirmed) == 2
    wait_for(lambda: rabbit_publisher.publish(DEFAULT_QUEUE, some_jobs(5)) == [], "a full queue's refusal")


def test_a_blocked_broker_takes_nothing_and_the_same_connection_works_after_the_alarm(
    rabbitmq: RabbitMQProcess, rabbit_publisher: AmqpPublisher
) -> None:
    rabbit_publisher.ready(DEFAULT_QUEUE)
    rabbitmq.engine.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        with pytest.raises(BrokerBlockedError, match="alarm"):
            rabbit_publisher.publish(DEFAULT_QUEUE, some_jobs(1))
        with pytest.raises(BrokerBlockedError, match="alarm"):
            rabbit_publisher.ready(DEFAULT_QUEUE)
    finally:
        rabbitmq.engine.control("set_vm_memory_high_watermark", "0.6")
    jobs = some_jobs(5)
    wait_for(lambda: is_taken(rabbit_publisher, jobs), "the end of the alarm")


def is_taken(publisher: Publisher, jobs: list[DueJob]) -> bool:
    try:
        return publisher.publish(DEFAULT_QUEUE, jobs) == jobs
    except BrokerBlockedError:
        return False


def test_an_idle_connection_outlives_the_broker_s_heartbeats(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_publisher, "HEARTBEAT_S", 2)
    publisher = AmqpPublisher(Settings(database_url="postgresql://nowhere", broker_url=rabbitmq_url))
    until = time.monotonic() + 7  # RabbitMQ closes after three missed intervals at the latest
    while time.monotonic() < until:
        publisher.tend()
        time.sleep(0.2)
    assert publisher.ready(DEFAULT_QUEUE) == 0
    publisher.close()


def test_a_full_valkey_is_an_outage(valkey: EngineProcess, valkey_url: str) -> None:
    settings = Settings(database_url="postgresql://nowhere", broker_url=valkey_url)
    publisher = make_publisher(settings)
    with kombu.Connection(valkey_url) as connection:
        client = connection.default_channel.client
        client.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(BrokerUnavailableError, match="maxmemory"):
                publisher.publish(DEFAULT_QUEUE, some_jobs(1))
        finally:
            client.config_set("maxmemory", "0")
    assert publisher.publish(DEFAULT_QUEUE, some_jobs(1)) != []
    publisher.close()
