"""How to run dramatiq."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Command, Engines
from benchmarks.redis_results import RedisResults


class Adapter(RedisResults):
    """A result is a list of one element in Redis, and nothing else is in that database."""

    title = "FastAPI `def` route with send; dramatiq, four processes of eight threads; RabbitMQ; results in Redis"
    packages = ("dramatiq", "pika", "redis", "fastapi", "uvicorn", "pydantic")
    queue_name = "default"
    engine_names = ("rabbitmq", "valkey")

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {
            "RABBITMQ_URL": engines.rabbitmq_url,
            "REDIS_URL": f"unix://{engines.valkey_socket}?db={engines.valkey_database}",
        }

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn; the route runs in its thread pool."""
        return [Command("api", self.uvicorn(port), self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with four processes, and as many threads in each as it has by default."""
        return [Command("worker", [str(self.python), "-m", "dramatiq", "tasks", "--processes", "4"], self._environment)]

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As its Redis backend reads them."""
        with self.redis.pipeline(transaction=False) as pipe:
            for task_id in task_ids:
                pipe.lindex(hashlib.md5(f"dramatiq-results:default:add:{task_id}".encode()).hexdigest(), 0)
            return [json.loads(value) if value else None for value in pipe.execute()]
