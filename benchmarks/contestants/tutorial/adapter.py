"""How to run the tutorial stack."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Command, Engines
from benchmarks.redis_results import RedisResults

#: Celery's name for where it keeps a result.
KEY_PREFIX = "celery-task-meta-"


class Adapter(RedisResults):
    """A result is a key in Redis, and nothing else is in that database."""

    title = "FastAPI `def` route with send_task; Celery, four processes; RabbitMQ; results in Redis (Valkey without AOF)"
    packages: Sequence[str] = ("celery", "kombu", "redis", "fastapi", "uvicorn", "pydantic")
    queue_name = "celery"
    engine_names = ("rabbitmq", "valkey")

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {
            "CELERY_BROKER_URL": engines.rabbitmq_url,
            "CELERY_RESULT_BACKEND": f"redis+socket://{engines.valkey_socket}?virtual_host={engines.valkey_database}",
        }

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn; the route runs in its thread pool."""
        return [Command("api", self.uvicorn(port), self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with a pool of four."""
        celery = [str(self.python), "-m", "celery", "-A", "tasks", "worker", "--loglevel=info", "--concurrency=4"]
        return [Command("worker", celery, self._environment)]

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As AsyncResult reads them."""
        stored = self.values([KEY_PREFIX + task_id for task_id in task_ids])
        metas = [json.loads(value) if value else {"status": "PENDING"} for value in stored]
        return [meta["result"] if meta["status"] == "SUCCESS" else None for meta in metas]
