"""kombu's transports, except that a message which cannot be read ends nothing: it is acknowledged, counted and forgotten.

Below Celery's consumer kombu trusts what a broker delivers: an error there ends the worker, or breaks its connection, and
the same message meets the next one.
"""

from kombu.transport import TRANSPORT_ALIASES

from core.settings import Settings
from worker.message_gate import RefusedMessages


def use_tolerant_transports(settings: Settings, refused: RefusedMessages) -> None:
    """Let every connection to a broker that this process makes from now on be tolerant."""
    if not settings.broker_url.startswith("amqp"):
        from worker.transports.valkey import Channel  # here, for a client of Redis takes a tenth of a worker's start

        Channel.refused = refused
    TRANSPORT_ALIASES.update(
        {
            "amqp": "worker.transports.amqp:Transport",
            "amqps": "worker.transports.amqp:SSLTransport",
            "redis": "worker.transports.valkey:Transport",
            "rediss": "worker.transports.valkey:Transport",
        }
    )
