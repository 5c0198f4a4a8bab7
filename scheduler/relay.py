"""The relay: publishes what is due. See docs/architecture.md, "A job's life", step 2."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.events import Event
from scheduler import due_jobs
from scheduler.broker_link import BrokerLink
from scheduler.brokers.publisher import BrokerUnavailableError, DueJob, Publisher, QueueRefusedError
from scheduler.refused_queues import RefusedQueues
from scheduler.windows import Window

#: Retries and rescues send no wake-up, and a wake-up may get lost with a connection: look this often anyway.
POLL_S: Final = 0.5
#: Rounds follow each other no faster than this, or than twice the time of a quick one: under load each publishes more.
#: A first job is published at once, and a client's jobs, one after the other, do not wait for each other.
ROUND_S: Final = 0.01
#: The same while a window is full: a wake-up then most likely means one more job that has to wait.
FULL_ROUND_S: Final = 0.05
BATCH_SIZE: Final = 1000
#: Workers come and go.
COUNT_SLOTS_S: Final = 1.0
#: A queue's turn in a round ends after this many batches, and so does promoting: nothing may starve the rest.
BATCHES_PER_ROUND: Final = 5

log = structlog.get_logger()


class Relay:
    """Looks for due jobs when it is woken, and at least twice a second, and publishes them."""

    name = "relay"
    session = due_jobs.SESSION

    def __init__(
        self, make_window: Callable[[], Window], broker: BrokerLink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """make_window makes the window of a queue."""
        self._make_window = make_window
        self._broker = broker
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._refused = RefusedQueues(clock)
        self._slots: dict[str, int] = {}
        self._slots_at = float("-inf")

    def step(self, connection: Connection[TupleRow]) -> float:
        """Do one round and wait until another is worth it."""
        started_at = self._clock()
        try:
            pause_s = self._round(connection, self._broker.publisher())
            round_s = self._clock() - started_at
            self._broker.worked()
        except BrokerUnavailableError as error:
            self._windows.clear()
            _wait(connection, 0.0)
            return self._broker.failed(error)
        _wait(connection, pause_s)
        if pause_s == 0.0:
            return 0.0
        is_full = any(window.pause_s for window in self._windows.values())
        shortest_s = FULL_ROUND_S if is_full else min(ROUND_S, 2 * round_s)
        return max(0.0, started_at + shortest_s - self._clock())

    def forget(self) -> None:
        """Nothing of the database is remembered."""

    def leave(self, connection: Connection[TupleRow]) -> None:
        """Nothing to do: what is taken and not marked comes due again."""

    def close(self) -> None:
        """Close the connection to the broker."""
        self._broker.close()

    def _round(self, connection: Connection[TupleRow], publisher: Publisher) -> float:
        """Publish what may be published now; return the seconds until the next round is worth it (0: there is more)."""
        survey = due_jobs.survey(connection)
        pauses = [POLL_S]
        if survey.next_delayed_s is not None:
            pauses.append(self._promote(connection) if survey.next_delayed_s <= 0 else survey.next_delayed_s)
        if survey.due_queues:
            self._count_slots(connection)
        pauses += [self._try_queue(connection, publisher, queue) for queue in survey.due_queues]
        return min(pauses)

    def _count_slots(self, connection: Connection[TupleRow]) -> None:
        now = self._clock()
        if now - self._slots_at >= COUNT_SLOTS_S:
            self._slots = due_jobs.slots(connection)
            self._slots_at = now

    def _promote(self, connection: Connection[TupleRow]) -> float:
        for _ in range(BATCHES_PER_ROUND):
            if due_jobs.promote(connection, BATCH_SIZE) < BATCH_SIZE:
                break
        return 0.0

    def _try_queue(self, connection: Connection[TupleRow], publisher: Publisher, queue: str) -> float:
        """Relay a queue, unless the broker has refused it a moment ago."""
        pause_s = self._refused.pause_s(queue)
        if pause_s > 0.0:
            return pause_s
        try:
            pause_s = self._relay_queue(connection, publisher, queue)
        except QueueRefusedError as error:
            return self._refused.refuse(queue, error)
        self._refused.take(queue)
        return pause_s

    def _relay_queue(self, connection: Connection[TupleRow], publisher: Publisher, queue: str) -> float:
        window = self._windows.get(queue)
        if window is None:
            window = self._windows[queue] = self._make_window()
        window.serve(self._slots.get(queue, 0))
        for _ in range(BATCHES_PER_ROUND):
            room = window.room(lambda: publisher.ready(queue))
            if room == 0:
                return window.pause_s
            asked = min(room, BATCH_SIZE)
            taken = self._relay_batch(connection, publisher, queue, asked)
            if taken < asked:
                return POLL_S
        return 0.0

    def _relay_batch(self, connection: Connection[TupleRow], publisher: Publisher, queue: str, limit: int) -> int:
        """Take, publish, mark; return how many were taken. No transaction is open while the broker is waited for."""
        batch = due_jobs.take(connection, queue, limit)
        if batch is None:
            return 0
        try:
            confirmed = publisher.publish(queue, batch.jobs)
        except (BrokerUnavailableError, QueueRefusedError):
            due_jobs.release(connection, batch.lease, batch.jobs)
            raise
        due_jobs.mark(connection, batch.lease, confirmed)
        self._windows[queue].add(len(confirmed))
        log.debug(Event.JOBS_PUBLISHED, queue=queue, count=len(confirmed))
        if len(confirmed) < len(batch.jobs):
            self._try_again(connection, queue, batch, confirmed)
        return len(confirmed)

    def _try_again(
        self, connection: Connection[TupleRow], queue: str, batch: due_jobs.Batch, confirmed: list[DueJob]
    ) -> None:
        """Give back what the broker refused or could not route; the next round declares the queue again first."""
        kept = {job.task_id for job in confirmed}
        due_jobs.release(connection, batch.lease, [job for job in batch.jobs if job.task_id not in kept])
        self._windows[queue].refuse()


def _wait(connection: Connection[TupleRow], pause_s: float) -> None:
    """Wait for the pause or a wake-up; what woke us during the round counts."""
    for _ in connection.notifies(timeout=pause_s, stop_after=1):
        pass
