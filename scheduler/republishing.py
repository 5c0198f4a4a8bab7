"""Publishes again what the broker lost: asks database and broker, and lets LostMessages judge."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.events import Event
from core.queries import load_query
from scheduler.brokers.publisher import BrokerUnavailableError, Publisher, QueueRefusedError
from scheduler.budget import Budget
from scheduler.lost_messages import PATIENCE_S, LostMessages, PublishedJobs

_OBSERVE_PUBLISHED: Final = load_query("scheduler", "observe_published")
_REPUBLISH: Final = load_query("scheduler", "republish")

INTERVAL_S: Final = 2.0
SCAN_SHARE: Final = 0.05

log = structlog.get_logger()


class Republishing:
    """Has a connection to the broker of its own, and only as long as something is in doubt."""

    def __init__(self, connect: Callable[[], Publisher], clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._publisher: Publisher | None = None
        self._lost_messages = LostMessages()
        self._budget = Budget(SCAN_SHARE, shortest_pause_s=INTERVAL_S)

    def step(self, connection: Connection[TupleRow]) -> None:
        """Look once, if it is time to."""
        if not self._budget.allows(self._clock()):
            return
        queues = self._observe(connection)
        try:
            republications = self._lost_messages.judge(self._clock(), queues, self._ready)
        except BrokerUnavailableError:
            # Says nothing about messages; the relay tells of the outage.
            self.forget()
            return
        if not any(queue.unclaimed for queue in queues):
            self.close()
        for republication in republications:
            parameters = {"queue": republication.queue, "before": republication.before, "patience_s": PATIENCE_S}
            row = connection.execute(_REPUBLISH, parameters).fetchone()
            log.warning(Event.JOBS_REPUBLISHED, queue=republication.queue, count=row[0] if row else 0)

    def forget(self) -> None:
        """The database or the broker was away: what was observed says nothing any more."""
        self._lost_messages.forget()
        self.close()

    def close(self) -> None:
        """Close the connection to the broker, if there is one."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()

    def _observe(self, connection: Connection[TupleRow]) -> list[PublishedJobs]:
        started_at = self._clock()
        rows = connection.execute(_OBSERVE_PUBLISHED, {"patience_s": PATIENCE_S}).fetchall()
        self._budget.spend(self._clock(), self._clock() - started_at)
        return [PublishedJobs(*row) for row in rows]

    def _ready(self, queue: str) -> int | None:
        if self._publisher is None:
            self._publisher = self._connect()
        try:
            return self._publisher.ready(queue)
        except QueueRefusedError:
            return None  # the relay tells of it
