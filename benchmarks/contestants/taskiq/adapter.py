"""How to run taskiq."""

import pickle
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Command, Engines
from benchmarks.redis_results import RedisResults


class Adapter(RedisResults):
    """A result is a key in Redis, by the job's id, and nothing else is in that database."""

    title = "FastAPI `async` route with kiq; taskiq, four processes; RabbitMQ, a quorum queue; results in Redis"
    packages = ("taskiq", "taskiq-aio-pika", "taskiq-redis", "aio-pika", "redis", "fastapi", "uvicorn", "pydantic")
    queue_name = "taskiq"
    engine_names = ("rabbitmq", "valkey")

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {
            "RABBITMQ_URL": engines.rabbitmq_url,
            "REDIS_URL": f"unix://{engines.valkey_socket}?db={engines.valkey_database}",
        }

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn."""
        return [Command("api", self.uvicorn(port), self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with four processes; it takes uvloop by itself. By default each runs up to 100 tasks at a time."""
        taskiq = [str(self.python), "-m", "taskiq", "worker", "tasks:broker", "--workers", "4"]
        return [Command("worker", taskiq, self._environment)]

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As its result backend reads them; what is pickled was written by our own worker."""
        stored = [pickle.loads(value) if value else {"is_err": True} for value in self.values(task_ids)]
        return [None if result["is_err"] else result["return_value"] for result in stored]
