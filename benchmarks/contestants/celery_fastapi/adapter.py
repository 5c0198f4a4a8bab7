"""How to run celery-fastapi. Behind its routes is the tutorial's stack."""

import json
from collections.abc import Sequence

from benchmarks.contestant import Command, Sum
from benchmarks.contestants.tutorial import adapter as tutorial
from benchmarks.load import get, post


class Adapter(tutorial.Adapter):
    """Results are where the tutorial has them."""

    title = "create_app() of celery-fastapi; Celery, four processes; RabbitMQ; results in Redis (Valkey without AOF)"
    packages = ("celery-fastapi", "celery", "kombu", "redis", "fastapi", "uvicorn", "pydantic")

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn; its routes run in the thread pool."""
        return [Command("api", self.uvicorn(port, "tasks:app"), self._environment)]

    def workers(self) -> Sequence[Command]:
        """One worker with a pool of four."""
        celery = [str(self.python), "-m", "celery", "-A", "tasks.celery_app", "worker", "--loglevel=info", "--concurrency=4"]
        return [Command("worker", celery, self._environment)]

    def submission(self, job: Sum) -> bytes:
        """The route is the task's name, its dots as slashes."""
        return post("/tasks/add", b'{"x": %d, "y": %d}' % (job.x, job.y))

    def status(self, task_id: str) -> bytes:
        """Its route for one task."""
        return get(f"/tasks/{task_id}")

    def read_status(self, body: bytes) -> object:
        """Return the result of a task that has succeeded."""
        answer = json.loads(body)
        return answer["result"] if answer["state"] == "SUCCESS" else None
