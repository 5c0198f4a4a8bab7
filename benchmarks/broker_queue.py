"""A RabbitMQ queue as the measurements need it: how long it is, and emptied."""

import threading
from types import TracebackType
from typing import Any, Self

from amqp.exceptions import NotFound
from kombu import Connection


class BrokerQueue:
    """One queue, on a connection of its own. For one thread at a time."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = Connection(url)
        self._name = name

    def count(self) -> int:
        """Return how many messages are ready; 0 when there is no such queue yet."""
        try:
            return int(self._channel().queue_declare(self._name, passive=True).message_count)
        except NotFound:
            return 0

    def purge(self) -> int:
        """Drop all ready messages and return how many there were."""
        try:
            return int(self._channel().queue_purge(self._name))
        except NotFound:
            return 0

    def _channel(self) -> Any:
        return self._connection.default_channel  # a new one after NotFound, which closes a channel


class Sink:
    """Empties a queue ten times a second while it is open, in place of workers, and counts what came.

    Without it a broker would hold more and more during a measurement of submissions, and a stack that publishes no more than
    its workers can take would stop publishing.
    """

    INTERVAL_S = 0.1

    def __init__(self, queue: BrokerQueue | None) -> None:
        self._queue = queue
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.received = 0

    def __enter__(self) -> Self:
        if self._queue is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_closed.set()
        if self._queue is not None:
            self._thread.join()

    def _run(self) -> None:
        assert self._queue is not None
        while not self._is_closed.wait(self.INTERVAL_S):
            self.received += self._queue.purge()
        self.received += self._queue.purge()
