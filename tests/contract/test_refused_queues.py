"""A queue that the broker refuses is skipped, said and tried again: it stops nothing else. On both brokers."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import UUID

import kombu
import pytest
from structlog.testing import capture_logs

from core.queues import broker_queue, broker_queue_name
from core.settings import Settings
from scheduler.brokers import make_publisher
from scheduler.brokers.amqp_publisher import AmqpPublisher
from scheduler.brokers.publisher import DueJob, QueueRefusedError
from scheduler.republishing import Republishing
from scheduler.rescue import Rescue
from tests.contract.damaged_messages import lines_about
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import WorkerRig, wait_for
from tests.engines import private_valkey

SPOILT = "alpha"
MAX_LOSSES = 5
#: Longer than until a hung worker is given up.
READ_ONLY_S = 22.0
#: An idle worker has about 20.
MOST_DESCRIPTORS = 60


def spoil(settings: Settings) -> Callable[[], None]:
    """Make something else of the queue SPOILT than what we declare, or of its key; return what undoes it."""
    name = broker_queue_name(SPOILT, settings)

    def undo() -> None:
        with kombu.Connection(settings.broker_url) as connection:
            channel = connection.default_channel
            if settings.broker_url.startswith("amqp"):
                channel.queue_delete(name)
            else:
                channel.client.delete(name)

    with kombu.Connection(settings.broker_url) as connection:
        channel = connection.default_channel
        if settings.broker_url.startswith("amqp"):
            channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-max-length": 10})
        else:
            channel.client.set(name, "not a list")
    return undo


def test_refused_queue_stops_no_other_and_is_tried_again(scheduler_rig: SchedulerRig) -> None:
    rig = scheduler_rig
    undo = spoil(rig.settings)
    rig.accept(2, queue=SPOILT)
    rig.accept(3, queue="default")
    rig.accept(3, queue="zeta")
    with capture_logs() as logs, rig.running(rig.relay()):
        rig.wait_until_marked(6)
        assert rig.count(f"queue = '{SPOILT}' AND published_at IS NOT NULL") == 0
        undo()
        rig.wait_until_marked(8)
    events = [line["event"] for line in logs if line["event"].startswith(("queue.", "broker."))]
    assert events == ["queue.refused", "queue.restored"]
    assert len(rig.published(SPOILT)) == 2


@pytest.mark.parametrize("name", ["amq.evil", "x" * 260])
def test_name_that_a_broker_cannot_have_stops_no_other_queue(rabbitmq_url: str, database_url: str, name: str) -> None:
    """Accepted by an earlier version, which did not look at names."""
    with closing(SchedulerRig(Settings(database_url=database_url, broker_url=rabbitmq_url))) as rig:
        rig.accept(1, queue=name)
        rig.accept(3, queue="default")
        rig.accept(3, queue="zeta")
        with rig.running(rig.relay()):
            rig.wait_until_marked(6)


def test_publisher_goes_on_after_a_refusal(settings: Settings) -> None:
    undo = spoil(settings)
    job = DueJob(str(UUID(int=1)), 1, "tasks.add")
    with closing(make_publisher(settings)) as publisher:
        for _ in range(3):
            with pytest.raises(QueueRefusedError, match=SPOILT):
                publisher.ready(SPOILT)
            assert publisher.ready("default") == 0
            assert publisher.publish("default", [job]) == [job]
            assert publisher.ready("default") == 1
            with kombu.Connection(settings.broker_url) as connection:
                connection.default_channel.queue_purge(broker_queue_name("default", settings))
        undo()
        assert publisher.ready(SPOILT) == 0


def test_lost_messages_of_others_are_published_again(scheduler_rig: SchedulerRig) -> None:
    """The rescue asks the broker about each queue in doubt."""
    rig = scheduler_rig
    rig.accept(1, queue=SPOILT)
    rig.accept(2, queue="default")
    query = "UPDATE live_jobs SET publish_at = NULL, published_at = now() - interval '1 minute'"
    rig.connection.execute(query)
    spoil(rig.settings)
    with rig.running(Rescue(MAX_LOSSES, Republishing(partial(make_publisher, rig.settings)))):
        wait_for(lambda: rig.count("queue = 'default' AND publish_at IS NOT NULL") == 2, "the lost messages to be due")
    assert rig.count(f"queue = '{SPOILT}' AND publish_at IS NOT NULL") == 0


def test_worker_consumes_from_the_other_queues_and_takes_the_refused_one_later(rig: WorkerRig) -> None:
    undo = spoil(rig.settings)
    worker = rig.start_worker(WORKER_QUEUES=f"{SPOILT},default")
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
    undo()
    task_id = rig.accept("tasks.add", x=2, y=2)
    rig.publish("tasks.add", task_id, queue=SPOILT)
    assert rig.finished(task_id, limit_s=30).result == "4"
    logged = rig.stop_worker(worker)
    assert [len(list(lines_about(event, logged))) for event in ("queue.refused", "queue.restored")] == [1, 1]
    assert "Traceback" not in logged


def test_queue_that_somebody_else_alone_may_read_is_left_out_until_then(rabbitmq_url: str, database_url: str) -> None:
    settings = Settings(database_url=database_url, broker_url=rabbitmq_url)
    with closing(WorkerRig(settings)) as rig, kombu.Connection(rabbitmq_url) as connection:
        channel = connection.default_channel
        queue = broker_queue(SPOILT, settings)(channel)
        queue.declare()
        channel.basic_consume(queue.name, consumer_tag="alone", exclusive=True, callback=lambda _message: None)
        worker = rig.start_worker(WORKER_QUEUES=f"{SPOILT},default")
        assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
        channel.basic_cancel("alone")
        task_id = rig.accept("tasks.add", x=2, y=2)
        rig.publish("tasks.add", task_id, queue=SPOILT)
        assert rig.finished(task_id, limit_s=30).result == "4"
        assert rig.finished(rig.submit("tasks.add", x=3, y=3)).result == "6"
        logged = rig.stop_worker(worker)
        assert [len(list(lines_about(event, logged))) for event in ("queue.refused", "broker.lost")] == [1, 0]


def test_refusals_use_up_no_channels(rabbitmq_url: str, database_url: str) -> None:
    settings = Settings(database_url=database_url, broker_url=rabbitmq_url)
    spoil(settings)
    with closing(AmqpPublisher(settings)) as publisher:
        for _ in range(20):
            with pytest.raises(QueueRefusedError):
                publisher.ready(SPOILT)
        assert len(publisher._connection.channels) == 2  # the connection's own, and ours


@pytest.fixture
def private_valkey_url(engine_directory: Path) -> Iterator[str]:
    """A server of the test's own, whose rights and role it may change."""
    with private_valkey(engine_directory / "refusing") as server:
        yield server.url


def test_key_that_we_may_not_use_is_one_queues_fault(private_valkey_url: str) -> None:
    settings = Settings(database_url="postgresql://nowhere", broker_url=private_valkey_url)
    job = DueJob(str(UUID(int=1)), 1, "tasks.add")
    with closing(make_publisher(settings)) as publisher, kombu.Connection(private_valkey_url) as connection:
        connection.default_channel.client.execute_command("ACL SETUSER default resetkeys ~default*")
        for _ in range(2):
            with pytest.raises(QueueRefusedError, match="No permissions"):
                publisher.ready(SPOILT)
            with pytest.raises(QueueRefusedError, match="No permissions"):
                publisher.publish(SPOILT, [job])
            assert publisher.publish("default", [job]) == [job]


@pytest.mark.timeout(90)
def test_worker_waits_for_a_server_that_takes_no_writes(private_valkey_url: str, database_url: str) -> None:
    """After a failover it may take connections for a while and refuse what we do with them."""
    with closing(WorkerRig(Settings(database_url=database_url, broker_url=private_valkey_url))) as rig:
        worker = rig.start_worker()
        rig.finished(rig.submit("tasks.add", x=1, y=1))
        descriptors = Path(f"/proc/{worker.pid}/fd")
        with kombu.Connection(private_valkey_url) as connection:
            client = connection.default_channel.client
            client.execute_command("REPLICAOF 127.0.0.1 1")
            client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            time.sleep(READ_ONLY_S)
            opened = len(list(descriptors.iterdir()))
            client.execute_command("REPLICAOF NO ONE")
        assert rig.finished(rig.submit("tasks.add", x=2, y=2), limit_s=30).result == "4"
        assert worker.poll() is None
        assert opened < MOST_DESCRIPTORS
        logged = rig.stop_worker(worker)
        assert [len(list(lines_about(event, logged))) for event in ("broker.lost", "worker.hung")] == [1, 0]


@pytest.mark.parametrize("queue", ["amq.evil", "x" * 260, "two words"])
def test_task_cannot_call_into_a_queue_that_cannot_be(valkey_rig: WorkerRig, queue: str) -> None:
    valkey_rig.start_worker()
    for task in ("ill.calls_into", "ill.links_into"):
        error = valkey_rig.finished(valkey_rig.submit(task, queue=queue)).error
        assert error is not None
        assert error["type"] == "UnsupportedCallError"
        assert "cannot be a queue's name; write up to 100 letters" in error["message"]
