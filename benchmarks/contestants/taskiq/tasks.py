"""The broker and the task: `taskiq worker tasks:broker`."""

import os

from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import RedisAsyncResultBackend

result_backend: RedisAsyncResultBackend[int] = RedisAsyncResultBackend(os.environ["REDIS_URL"], result_ex_time=1000)
broker = AioPikaBroker(os.environ["RABBITMQ_URL"]).with_result_backend(result_backend)


@broker.task
async def add(x: int, y: int) -> int:
    return x + y
