"""The life of the relay's connection to the broker: made when it is needed, tended while idle, dropped when it fails."""

import time
from collections.abc import Callable
from typing import Final

from core.events import Event
from scheduler.brokers.publisher import BrokerBlockedError, BrokerUnavailableError, Publisher
from scheduler.outage import Backoff, Outage

TEND_INTERVAL_S: Final = 1.0


class BrokerLink:
    """Hands out a connected publisher and keeps the story of its outages."""

    def __init__(self, connect: Callable[[], Publisher], clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._clock = clock
        self._publisher: Publisher | None = None
        self._tended_at = 0.0
        self._outage = Outage(Event.BROKER_LOST, Event.BROKER_RESTORED)
        self._backoff = Backoff()

    def publisher(self) -> Publisher:
        """Return the publisher, connected. Raises BrokerUnavailableError."""
        if self._publisher is None:
            self._publisher = self._connect()
            self._tended_at = self._clock()
        elif self._clock() - self._tended_at >= TEND_INTERVAL_S:
            self._publisher.tend()
            self._tended_at = self._clock()
        return self._publisher

    def worked(self) -> None:
        """Note that the broker answers."""
        self._outage.end("relay")
        self._backoff.reset()

    def failed(self, error: BrokerUnavailableError) -> float:
        """Note a failure; return the seconds until the next try."""
        self._outage.begin("relay", error)
        if not isinstance(error, BrokerBlockedError):
            self.close()
        return self._backoff.next_s()

    def close(self) -> None:
        """Close the connection, if there is one."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()
