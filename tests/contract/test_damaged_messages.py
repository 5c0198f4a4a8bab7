"""What a worker cannot read ends nothing: it is acknowledged and counted, and the next job runs. On both brokers."""

import random
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import kombu
import pytest
from kombu import Connection

from core.queues import DEFAULT_QUEUE, broker_queue, broker_queue_name
from core.settings import Settings
from tests.contract.damaged_messages import DamagedAmqp, DamagedValkey, lines_about
from tests.contract.worker_rig import WorkerRig, wait_for
from worker.message_gate import Fault

COUNT = 1_000
SEED = 20261128


def publish_damaged(settings: Settings, count: int, seed: int) -> None:
    """Publish damaged messages to the default queue."""
    queue = broker_queue_name(DEFAULT_QUEUE, settings)
    rng = random.Random(seed)
    if settings.broker_url.startswith("amqp"):
        DamagedAmqp(settings.broker_url, queue, rng).publish(count)
        return
    with Connection(settings.broker_url) as connection:
        DamagedValkey(connection.default_channel.client, queue, rng).publish(count)


@pytest.mark.timeout(180)
def test_a_thousand_damaged_messages_end_nothing(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    rig.finished(rig.submit("tasks.add", x=1, y=1))  # the queue is there now
    publish_damaged(rig.settings, COUNT, SEED)
    jobs = [rig.submit("tasks.add", x=number, y=1) for number in range(20)]
    results = [rig.finished(job, limit_s=60).result for job in jobs]
    assert results == [str(number + 1) for number in range(20)]
    wait_for(lambda: rig.messages_ready() == 0, "the queue to be empty")
    logged = rig.stop_worker(worker)
    assert rig.messages_left() == 0
    assert "Traceback" not in logged
    assert "broker.lost" not in logged
    told = list(lines_about("messages.refused", logged))
    counts = [int(re.search(r"count=(\d+)", line)[1]) for line in told]  # type: ignore[index]
    assert 1 <= len(told) <= 2 * len(Fault)
    assert sum(counts) >= 1


def test_headers_of_any_depth_end_nothing(rabbitmq_url: str, database_url: str) -> None:
    """Where reading them ends depends on how deep the reader stands in calls itself: one depth may be both."""
    with closing(WorkerRig(Settings(database_url=database_url, broker_url=rabbitmq_url))) as rig:
        worker = rig.start_worker()
        rig.finished(rig.submit("tasks.add", x=1, y=1))
        queue = broker_queue_name(DEFAULT_QUEUE, rig.settings)
        with deep_recursion():
            DamagedAmqp(rabbitmq_url, queue, random.Random(SEED)).publish_nested(range(880, 1_010))
        assert rig.finished(rig.submit("tasks.add", x=2, y=2)).result == "4"
        logged = rig.stop_worker(worker)
        assert "Traceback" not in logged
        assert "broker.lost" not in logged
        assert rig.messages_left() == 0


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Let the publisher write what no reader can read."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(5_000)
    yield
    sys.setrecursionlimit(before)


#: Headers, and why they are refused.
UNREADABLE: list[tuple[dict[str, object], Fault]] = [
    ({"id": 7}, Fault.ID),
    ({"id": None}, Fault.ID),
    ({"task": ["tasks.add"]}, Fault.TASK),
    ({"task": "half \ud800"}, Fault.TASK),
    ({"series": "1"}, Fault.SERIES),
    ({"series": 10**12}, Fault.SERIES),
]


def test_messages_without_readable_headers_are_acknowledged_and_told_of_once(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    valid = {"task": "tasks.add", "id": "01a20ba9-b712-73da-923e-91fe1ec48a25", "series": 1}
    for headers, _ in UNREADABLE:
        publish(rig.settings, valid | headers)
    publish(rig.settings, {}, body=b"not JSON")
    assert rig.finished(rig.submit("tasks.add", x=1, y=1)).result == "2"
    told = list(lines_about("messages.refused", rig.stop_worker(worker)))
    assert rig.messages_left() == 0
    assert len(told) == len({fault for _, fault in UNREADABLE})
    assert all(any(fault in line for line in told) for _, fault in UNREADABLE)


def test_headers_that_are_not_ours_change_nothing(rig: WorkerRig) -> None:
    worker = rig.start_worker()
    task_id = rig.accept("tasks.add", x=1, y=1)
    others = {"timelimit": "abc", "stamped_headers": 5, "expires": "2001-01-01", "eta": [], "compression": "zlib"}
    publish(rig.settings, {"task": "tasks.add", "id": str(task_id), "series": 1, **others}, body=b"not JSON")
    assert rig.finished(task_id).result == "2"
    rig.stop_worker(worker)
    assert rig.messages_left() == 0


def publish(settings: Settings, headers: dict[str, object], body: bytes = b"[[], {}, {}]") -> None:
    """Publish one message with these headers."""
    with kombu.Connection(settings.broker_url) as connection:
        connection.Producer().publish(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            exchange="",
            routing_key=broker_queue_name(DEFAULT_QUEUE, settings),
            declare=[broker_queue(DEFAULT_QUEUE, settings)],
        )
