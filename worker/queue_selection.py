"""From which queues a worker consumes: from all that it shall serve, but for those that the broker does not let it have.

Another's declaration may stand against ours, somebody else may be the only one who reads, or a right is missing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import structlog

from core.events import Event

#: A queue that was refused is tried again after this time.
RETRY_S: Final = 10.0

_PROBE: Final = "probe"

log = structlog.get_logger()


class QueueSelection:
    """Keeps what is refused out of Celery's selection. Each queue is tried on a channel of its own first.

    RabbitMQ closes the channel on which it refuses something (AMQP 0-9-1, 4.1.3), and with it all of its consumers.
    """

    def __init__(self, queues: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """queues: app.amqp.queues, all that the worker shall serve."""
        self._queues = queues
        self._clock = clock
        self._refused: set[str] = set()
        self._next_at = 0.0

    def leave_out(self, connection: Any) -> None:
        """Select the queues that can be had on a new connection."""
        self._queues.select(list(self._queues))
        for name in list(self._queues):
            if self._try(connection, name):
                self._take(name)
        self._queues.deselect(list(self._refused))
        self._next_at = self._clock() + RETRY_S

    def restored(self, connection: Any) -> Iterator[str]:
        """Yield the names of queues that can be had again, to be consumed from; looks only now and then."""
        if not self._refused or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + RETRY_S
        for name in sorted(self._refused):
            if self._try(connection, name):
                yield name
                self._take(name)

    def _take(self, name: str) -> None:
        if name in self._refused:
            self._refused.discard(name)
            log.info(Event.QUEUE_RESTORED, queue=name)

    def _try(self, connection: Any, name: str) -> bool:
        """Whether the queue can be declared and consumed from; says it once when not."""
        channel = connection.channel()
        try:
            queue = self._queues[name](channel)
            queue.declare()
            if connection.transport.driver_type == "amqp":
                # A right to read may be missing, or somebody else may be the only one who reads. What comes goes back.
                channel.basic_qos(0, 1, False)
                queue.consume(_PROBE, callback=_leave, no_ack=False)
        except connection.channel_errors as error:
            if not getattr(channel, "was_closed", True):
                raise  # it is about another channel
            if name not in self._refused:
                self._refused.add(name)
                log.warning(Event.QUEUE_REFUSED, queue=name, error=str(error), retry_s=RETRY_S)
            return False
        finally:
            with suppress(*connection.channel_errors):
                channel.close()
        return True


def _leave(_message: Any) -> None:
    """Leave a message unacknowledged: the end of the channel gives it back."""
