"""The seam between the scheduler and a broker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import TaskServiceError


class BrokerUnavailableError(TaskServiceError):
    """The broker is away, does not answer, or does not take messages. The publisher must be closed and made anew."""

    code = "broker_unavailable"
    status = 503


class BrokerBlockedError(BrokerUnavailableError):
    """The broker takes no messages until an alarm for memory or disk is over. The publisher stays good: try again with it.

    A new connection would lead to another batch in the blocked socket's buffer, and each is published when the alarm ends.
    """

    code = "broker_blocked"


class QueueRefusedError(TaskServiceError):
    """The broker refuses this queue: its name, its declaration or our right to it. The publisher stays good for others."""

    code = "queue_refused"
    status = 503


@dataclass(frozen=True, slots=True)
class DueJob:
    """What a message says: run this job, for this series. No arguments: they are in the row."""

    task_id: str
    series: int
    task: str


class Publisher(Protocol):
    """One connection to a broker. Every call may raise BrokerUnavailableError, and none waits longer than a few seconds.

    What is asked of one queue may raise QueueRefusedError.
    """

    def ready(self, queue: str) -> int:
        """Return how many messages wait in the broker's queue for a consumer, after making sure that the queue exists.

        Messages that a worker has taken and not acknowledged do not count.
        """

    def publish(self, queue: str, jobs: Sequence[DueJob]) -> list[DueJob]:
        """Publish one message for each job; return those of which the broker has confirmed that it keeps them."""

    def tend(self) -> None:
        """Keep an idle connection alive, and notice that it is gone. To be called about once a second."""

    def close(self) -> None:
        """Close the connection; never raises, never waits long."""
