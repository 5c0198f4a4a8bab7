"""A queue of RabbitMQ, or of Valkey as kombu uses it, as the measurements need it: how long it is, and emptied."""

import threading
from types import TracebackType
from typing import Any, Self

from amqp.exceptions import NotFound
from kombu import Connection
from kombu.transport import virtual


class BrokerQueue:
    """One queue, on a connection of its own. For one thread at a time."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = Connection(url)
        self._name = name

    def count(self) -> int:
        """Return how many messages are ready; 0 when there is no such queue yet."""
        channel = self._channel()
        if isinstance(channel, virtual.Channel):
            return int(channel._size(self._name))
        try:
            return int(channel.queue_declare(self._name, passive=True).message_count)
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
    """Empties a queue ten times a second, or each interval_s, while it is open, in place of workers; counts what came.

    Without it a broker would hold more and more during a measurement of submissions, and a stack that publishes no more than
    its workers can take would stop publishing.
    """

    def __init__(self, queue: BrokerQueue | None, interval_s: float = 0.1) -> None:
        self._queue = queue
        self._interval_s = interval_s
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.received = 0

    @property
    def is_counting(self) -> bool:
        """Tell whether there is a queue at all."""
        return self._queue is not None

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
        while not self._is_closed.wait(self._interval_s):
            self.received += self._queue.purge()
        self.received += self._queue.purge()
