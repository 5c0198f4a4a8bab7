"""The scheduler's duties in threads of the test, on real engines; jobs are accepted and messages read by hand."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import kombu
import psycopg
from kombu.message import Message

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.events import Event
from core.queues import DEFAULT_QUEUE, broker_queue
from core.settings import Settings
from scheduler.broker_link import BrokerLink
from scheduler.brokers import make_publisher
from scheduler.duty import Duty, DutyRunner
from scheduler.outage import Outage
from scheduler.relay import Relay
from scheduler.windows import Window
from tests.contract.worker_rig import wait_for

CLAIM = """
UPDATE live_jobs SET status = 'STARTED', attempts = attempts + 1, token = gen_random_uuid(), worker = %(worker)s,
    started_at = clock_timestamp(), publish_at = NULL
WHERE task_id = ANY (%(task_ids)s) AND status IN ('PENDING', 'RETRY')
RETURNING token
"""


class FixedWindow(Window):
    """Holds always the same number of messages, whoever consumes them."""

    def __init__(self, size: int) -> None:
        super().__init__(size, least=size)

    def serve(self, slots: int) -> None:
        """Do not care how many do."""


class SchedulerRig:
    """Accepts jobs, runs duties, reads what arrives at the broker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection = psycopg.connect(settings.database_url, autocommit=True)

    def accept(self, count: int = 1, queue: str = DEFAULT_QUEUE, **options: Any) -> list[UUID]:
        """Accept jobs in one statement."""
        jobs = [
            NewJob(task_id=new_task_id(), task="tasks.add", queue=queue, args='{"x": 2, "y": 3}', **options)
            for _ in range(count)
        ]
        self.connection.execute(ACCEPT, accept_parameters(jobs))
        return [job.task_id for job in jobs]

    def claim(self, task_ids: Sequence[UUID], worker: str = "host:1:abc") -> list[UUID]:
        """Claim jobs as a worker would; return their tokens."""
        parameters = {"task_ids": list(task_ids), "worker": worker}
        return [token for (token,) in self.connection.execute(CLAIM, parameters)]

    def relay(self, window: int | None = None) -> Relay:
        """Return a relay that is not running yet."""
        broker = BrokerLink(partial(make_publisher, self.settings))
        return Relay(partial(FixedWindow, window or self.settings.publish_window), broker)

    @contextmanager
    def running(self, *duties: Duty) -> Iterator[None]:
        """Run duties, each in a thread of its own; what one raises is raised at the end."""
        stop = threading.Event()
        errors: list[Exception] = []
        threads = [threading.Thread(target=self._run, args=(duty, stop, errors)) for duty in duties]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(15.0)
        assert not any(thread.is_alive() for thread in threads), "a duty did not stop"
        assert not errors, errors

    def _run(self, duty: Duty, stop: threading.Event, errors: list[Exception]) -> None:
        try:
            DutyRunner(duty, self.settings, Outage(Event.STORE_LOST, Event.STORE_RESTORED)).run(stop)
        except Exception as error:  # noqa: BLE001  # raised in the test's thread
            errors.append(error)

    def live(self, task_id: UUID, columns: str) -> Any:
        """Return columns of a job's row in live_jobs; None if it has none."""
        query = f"SELECT {columns} FROM live_jobs WHERE task_id = %s"
        return self.connection.execute(query.encode(), (task_id,)).fetchone()

    def count(self, condition: str) -> int:
        """Count rows of live_jobs."""
        row = self.connection.execute(f"SELECT count(*) FROM live_jobs WHERE {condition}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def wait_until_marked(self, count: int) -> None:
        """Wait until so many jobs are published and marked."""
        wait_for(
            lambda: self.count("published_at IS NOT NULL AND publish_at IS NULL") >= count,
            f"{count} published jobs",
        )

    def ready(self, queue: str = DEFAULT_QUEUE) -> int:
        """Return how many messages wait at the broker."""
        publisher = make_publisher(self.settings)
        try:
            return publisher.ready(queue)
        finally:
            publisher.close()

    def messages(self, queue: str = DEFAULT_QUEUE, count: int | None = None) -> list[Message]:
        """Take what is at the broker (count messages, or all that wait), as kombu reads it."""
        found: list[Message] = []
        with kombu.Connection(self.settings.broker_url) as connection:
            bound = broker_queue(queue, self.settings)(connection.default_channel)
            bound.declare()
            while count is None or len(found) < count:
                message = bound.get(no_ack=True)
                if message is None:
                    break
                found.append(message)
        return found

    def published(self, queue: str = DEFAULT_QUEUE, count: int | None = None) -> list[tuple[UUID, int]]:
        """Take what is at the broker; return task ids and series in the order of the queue."""
        return [(UUID(message.headers["id"]), message.headers["series"]) for message in self.messages(queue, count)]

    def reconnect(self) -> None:
        """Connect anew, after the database was away."""
        self.connection.close()
        self.connection = psycopg.connect(self.settings.database_url, autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def wait_s(is_reached: Callable[[], Any], what: str) -> float:
    """Wait until is_reached() and return how long that took."""
    started_at = time.monotonic()
    wait_for(is_reached, what)
    return time.monotonic() - started_at
