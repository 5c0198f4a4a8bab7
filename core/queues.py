"""Queues on the broker: the names and arguments that scheduler and worker must declare alike."""

from typing import Final

from kombu import Exchange, Queue

from core.settings import Settings

#: The logical queue of a task that names none.
DEFAULT_QUEUE: Final = "default"

#: Quorum queues of RabbitMQ 4 drop a message after 20 deliveries; ours must come back as often as a worker dies.
_QUORUM_ARGUMENTS: Final = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def broker_queue_name(logical: str, settings: Settings) -> str:
    """Return the broker's name of a logical queue.

    The type is part of the name: RabbitMQ refuses (406) to declare a queue again with another type.
    """
    return f"{logical}.{settings.queue_type}"


def broker_queue(logical: str, settings: Settings) -> Queue:
    """Return the durable queue to declare. Messages reach it through the default exchange, by its name."""
    arguments = _QUORUM_ARGUMENTS if settings.queue_type == "quorum" else {"x-queue-type": "classic"}
    return Queue(
        broker_queue_name(logical, settings),
        exchange=Exchange(""),
        routing_key=broker_queue_name(logical, settings),
        durable=True,
        queue_arguments=arguments,
    )
