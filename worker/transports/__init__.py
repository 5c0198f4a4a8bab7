"""kombu's transports, except that a message which cannot be read ends nothing: it is acknowledged, counted and forgotten.

Below Celery's consumer kombu trusts what a broker delivers: an error there ends the worker, or breaks its connection, and
the same message meets the next one.
"""

from kombu.transport import TRANSPORT_ALIASES

from worker.message_gate import RefusedMessages
from worker.transports.valkey import Channel


def use_tolerant_transports(refused: RefusedMessages) -> None:
    """Let every connection to a broker that this process makes from now on be tolerant."""
    Channel.refused = refused
    TRANSPORT_ALIASES.update(
        {
            "amqp": "worker.transports.amqp:Transport",
            "amqps": "worker.transports.amqp:SSLTransport",
            "redis": "worker.transports.valkey:Transport",
            "rediss": "worker.transports.valkey:Transport",
        }
    )
