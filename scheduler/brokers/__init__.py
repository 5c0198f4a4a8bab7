"""What the scheduler needs of a broker, once per broker: `Publisher` and one file for each implementation."""

from core.settings import Settings
from scheduler.brokers.amqp_publisher import AmqpPublisher
from scheduler.brokers.publisher import Publisher
from scheduler.brokers.valkey_publisher import ValkeyPublisher


def make_publisher(settings: Settings) -> Publisher:
    """Connect to the broker that BROKER_URL names. Raises BrokerUnavailableError."""
    if settings.broker_url.startswith("amqp"):
        return AmqpPublisher(settings)
    return ValkeyPublisher(settings)
