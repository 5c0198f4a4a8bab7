"""How to run dramatiq."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import redis

from benchmarks.contestant import UVICORN_OPTIONS, Command, Contestant, Engines


class Adapter(Contestant):
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
        self._redis = redis.Redis(unix_socket_path=str(engines.valkey_socket), db=engines.valkey_database)

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn; the route runs in its thread pool."""
        uvicorn = [str(self.python), "-m", "uvicorn", "api:app", "--port", str(port), *UVICORN_OPTIONS]
        return [Command("api", uvicorn, self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with four processes, and as many threads in each as it has by default."""
        return [Command("worker", [str(self.python), "-m", "dramatiq", "tasks", "--processes", "4"], self._environment)]

    def count_finished(self) -> int:
        """One key per result."""
        return int(self._redis.dbsize())

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As its Redis backend reads them."""
        with self._redis.pipeline(transaction=False) as pipe:
            for task_id in task_ids:
                pipe.lindex(hashlib.md5(f"dramatiq-results:default:add:{task_id}".encode()).hexdigest(), 0)
            return [json.loads(value) if value else None for value in pipe.execute()]

    def clear(self) -> None:
        """Drop the results."""
        self._redis.flushdb()
