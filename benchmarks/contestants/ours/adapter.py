"""How to run this project: the commands that standalone and Compose use, with the settings that it ships."""

import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import run
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.broker_queue import BrokerQueue
from benchmarks.contestant import Batching, Command, Engines, Sum
from benchmarks.load import get, post
from core.queues import DEFAULT_QUEUE, broker_queue_name
from core.settings import Settings
from tests.many_jobs import fill

ROOT = Path(__file__).parents[3]

Database = psycopg.Connection[tuple[Any, ...]]


class Adapter(Batching):
    """A result is a row in PostgreSQL."""

    title = "api, scheduler, four workers; RabbitMQ; PostgreSQL, a synchronous commit before each 202 and for each outcome"
    packages = ("celery", "kombu", "psycopg", "fastapi", "uvicorn", "pydantic")
    engine_names: Sequence[str] = ("rabbitmq", "postgres")

    def __init__(self, name: str, python: Path, engines: Engines, path: Path = ROOT) -> None:
        """path: the tree whose code runs."""
        super().__init__(name, python, engines)
        self.path = path
        self._environment = {"DATABASE_URL": engines.postgres_url, "BROKER_URL": self.broker_url}
        settings = Settings.model_validate({"database_url": engines.postgres_url, "broker_url": self.broker_url})
        self.queue_name = broker_queue_name(DEFAULT_QUEUE, settings)
        self._database = psycopg.connect(engines.postgres_url, autocommit=True)

    @property
    def broker_url(self) -> str:
        """What carries the jobs."""
        return self.engines.rabbitmq_url

    def open_queue(self) -> BrokerQueue:
        """Return the queue of the tasks that name none."""
        assert self.queue_name is not None
        return BrokerQueue(self.broker_url, self.queue_name)

    def prepare(self) -> None:
        """Make the tables."""
        run(
            [str(self.python), "-m", "core.migrations"],
            cwd=self.path,
            env=self._environment,
            check=True,
            capture_output=True,
        )

    def api(self, port: int) -> Sequence[Command]:
        """The api, and the scheduler that publishes."""
        return [
            Command("api", [str(self.python), "-m", "api"], {**self._environment, "PORT": str(port)}),
            Command("scheduler", [str(self.python), "-m", "scheduler"], self._environment),
        ]

    def workers(self) -> Sequence[Command]:
        """Four workers with one slot each."""
        return [Command("worker", [str(self.python), "-m", "worker"], self._environment, count=4)]

    def count_finished(self) -> int:
        """Ask the database."""
        return count_finished(self._database)

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As the api reads them."""
        return read_results(self._database, task_ids)

    def awaiting(self, task_id: str) -> bytes:
        """One request that lasts until the job has finished."""
        return get(f"/status/{task_id}?wait=30")

    def batch_submission(self, jobs: Sequence[Sum]) -> bytes:
        """All or none."""
        wanted = b",".join(b'{"task": "add", "args": {"x": %d, "y": %d}}' % (job.x, job.y) for job in jobs)
        return post("/jobs/batch", b'{"jobs": [' + wanted + b"]}")

    def urgent_submission(self, job: Sum) -> bytes:
        """The highest priority."""
        return post("/add?priority=9", b'{"x": %d, "y": %d}' % (job.x, job.y))

    def fill(self, finished: int, queued: int) -> None:
        """Let the database make the rows, and have done with them before anything is measured."""
        fill(self._database, finished, queued, analyze=True)
        self._database.execute("CHECKPOINT")

    def clear(self) -> None:
        """Locked in the order in which the parts lock them."""
        self._database.execute("TRUNCATE live_jobs, jobs, attempts, finished_jobs")


def count_finished(database: Database) -> int:
    """Only an outcome gives a row of jobs its status."""
    return int(database.execute("SELECT count(*) FROM jobs WHERE status IS NOT NULL").fetchall()[0][0])


def read_results(database: Database, task_ids: Sequence[str]) -> Sequence[object]:
    """Return the results of those that have succeeded, None for the others."""
    rows = database.execute(
        "SELECT task_id, result FROM jobs WHERE status = 'SUCCESS' AND task_id = ANY (%s)", [list(map(UUID, task_ids))]
    )
    results = {str(task_id): json.loads(result) for task_id, result in rows}
    return [results.get(task_id) for task_id in task_ids]
