"""The broker and the actor: `dramatiq tasks`."""

import os

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

result_backend = RedisBackend(url=os.environ["REDIS_URL"])
broker = RabbitmqBroker(url=os.environ["RABBITMQ_URL"])
broker.add_middleware(Results(backend=result_backend))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def add(x: int, y: int) -> int:
    return x + y
