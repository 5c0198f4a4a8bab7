"""A queue that the broker refuses is skipped, said and tried again: it stops nothing else. On both brokers."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from uuid import UUID

import kombu
import pytest
from structlog.testing import capture_logs

from core.queues import broker_queue_name
from core.settings import Settings
from scheduler.brokers import make_publisher
from scheduler.brokers.publisher import DueJob, QueueRefusedError
from scheduler.republishing import Republishing
from scheduler.rescue import Rescue
from tests.contract.damaged_messages import lines_about
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import WorkerRig, wait_for

SPOILT = "alpha"
MAX_LOSSES = 5


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


@pytest.mark.parametrize("queue", ["amq.evil", "x" * 260, "two words"])
def test_task_cannot_call_into_a_queue_that_cannot_be(valkey_rig: WorkerRig, queue: str) -> None:
    valkey_rig.start_worker()
    for task in ("ill.calls_into", "ill.links_into"):
        error = valkey_rig.finished(valkey_rig.submit(task, queue=queue)).error
        assert error is not None
        assert error["type"] == "UnsupportedCallError"
        assert "cannot be a queue's name; write up to 100 letters" in error["message"]
