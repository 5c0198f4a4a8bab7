"""How to run the tutorial stack."""

import json
from collections.abc import Sequence
from pathlib import Path

import redis

from benchmarks.contestant import UVICORN_OPTIONS, Command, Contestant, Engines

#: Celery's name for where it keeps a result.
KEY_PREFIX = "celery-task-meta-"


class Adapter(Contestant):
    """A result is a key in Redis, and nothing else is in that database."""

    title = "FastAPI `def` route with send_task; Celery, four processes; RabbitMQ; results in Redis (Valkey without AOF)"
    packages = ("celery", "kombu", "redis", "fastapi", "uvicorn", "pydantic")
    queue_name = "celery"
    engine_names = ("rabbitmq", "valkey")

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {
            "CELERY_BROKER_URL": engines.rabbitmq_url,
            "CELERY_RESULT_BACKEND": f"redis+socket://{engines.valkey_socket}?virtual_host={engines.valkey_database}",
        }
        self._redis = redis.Redis(unix_socket_path=str(engines.valkey_socket), db=engines.valkey_database)

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn; the route runs in its thread pool."""
        uvicorn = [str(self.python), "-m", "uvicorn", "api:app", "--port", str(port), *UVICORN_OPTIONS]
        return [Command("api", uvicorn, self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with a pool of four."""
        celery = [str(self.python), "-m", "celery", "-A", "tasks", "worker", "--loglevel=info", "--concurrency=4"]
        return [Command("worker", celery, self._environment)]

    def count_finished(self) -> int:
        """One key per result."""
        return int(self._redis.dbsize())

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As AsyncResult reads them."""
        stored = self._redis.mget([KEY_PREFIX + task_id for task_id in task_ids])
        metas = [json.loads(value) if value else {"status": "PENDING"} for value in stored]
        return [meta["result"] if meta["status"] == "SUCCESS" else None for meta in metas]

    def clear(self) -> None:
        """Drop the results."""
        self._redis.flushdb()
