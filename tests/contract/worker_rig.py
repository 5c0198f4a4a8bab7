"""A real worker process, fed by hand: no scheduler, so that each test sees what the worker alone does with a message."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import kombu
import psycopg
from psycopg.rows import dict_row

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.celery_app import make_app
from core.queues import DEFAULT_QUEUE, broker_queue
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TASKS = "tests.contract.ill_behaved_tasks"
LIMIT_S = 15.0
CLOSE_LIMIT_S = 5.0

_ROW = """
SELECT coalesce(j.status, l.status) AS status, j.result, coalesce(j.error, l.error) AS error, l.series, l.retries, l.losses,
    coalesce(j.attempts, l.attempts) AS attempts, l.publish_at, l.token, j.finished_at, l.progress, l.worker,
    extract(epoch FROM l.publish_at - now())::float8 AS due_in_s, j.parent_id
FROM jobs j LEFT JOIN live_jobs l USING (task_id) WHERE j.task_id = %s
"""


@dataclass
class Row:
    """A job's row and the outcomes of its ended attempts."""

    status: str
    result: str | None
    error: dict[str, str] | None
    fields: dict[str, Any]
    outcomes: list[str]


class WorkerRig:
    """Accepts jobs, publishes messages and runs worker processes on the engines of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection = psycopg.connect(settings.database_url, autocommit=True)
        self._app = make_app(settings)
        self._queue = broker_queue(DEFAULT_QUEUE, settings)
        self._workers: list[subprocess.Popen[str]] = []

    def start_worker(self, **environment: str) -> subprocess.Popen[str]:
        """Start `python -m worker` and wait for its first beat."""
        before = self._beating()
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": self.settings.database_url,
                "BROKER_URL": self.settings.broker_url,
                "TASK_MODULES": f"tasks,{TASKS}",
                "PYTHONPATH": str(ROOT),
                **environment,
            },
            text=True,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._workers.append(process)
        wait_for(lambda: self._beating() - before or process.poll() is not None, "a worker's first beat")
        return process

    def accept(self, task: str, **args: Any) -> UUID:
        """Accept a job; nothing is published."""
        job = NewJob(task_id=new_task_id(), task=task, queue=DEFAULT_QUEUE, args=json.dumps(args))
        self.connection.execute(ACCEPT, accept_parameters([job]))
        return job.task_id

    def publish(self, task: str, task_id: UUID, series: int = 1, queue: str = DEFAULT_QUEUE) -> None:
        """Publish the message of a job's series, as the scheduler does."""
        self._publish_all(task, [task_id], series, broker_queue(queue, self.settings))

    def _publish_all(self, task: str, task_ids: Sequence[UUID], series: int = 1, queue: kombu.Queue | None = None) -> None:
        body: list[object] = [[], {}, {}]
        queue = queue or self._queue
        with self._app.connection_for_write() as connection:
            producer = connection.Producer()
            for task_id in task_ids:
                producer.publish(
                    body,
                    serializer="json",
                    headers={"task": task, "id": str(task_id), "series": series, "ignore_result": False},
                    exchange="",
                    routing_key=queue.name,
                    declare=[queue],
                    correlation_id=str(task_id),
                )

    def mark_published(self, task_ids: list[UUID]) -> None:
        """Note that these jobs' messages are out, as the scheduler does."""
        query = "UPDATE live_jobs SET publish_at = NULL, published_at = now() WHERE task_id = ANY (%s)"
        self.connection.execute(query, (task_ids,))

    def submit(self, task: str, **args: Any) -> UUID:
        """Accept a job and publish its first message."""
        task_id = self.accept(task, **args)
        self.publish(task, task_id)
        return task_id

    def submit_marked(self, count: int) -> list[UUID]:
        """Submit additions of 0, 1, 2 ... and 1 that are marked as published, at once.

        The mark is first: after that it could undo that a worker has given the job back.
        """
        task_ids = [self.accept("tasks.add", x=number, y=1) for number in range(count)]
        self.mark_published(task_ids)
        self._publish_all("tasks.add", task_ids)
        return task_ids

    def row(self, task_id: UUID) -> Row:
        """Read a job's row."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            fields = cursor.execute(_ROW, (task_id,)).fetchone()
        assert fields is not None
        outcomes = self.connection.execute("SELECT outcome FROM attempts WHERE task_id = %s ORDER BY series", (task_id,))
        error = json.loads(fields["error"]) if fields["error"] else None
        return Row(fields["status"], fields["result"], error, fields, [outcome for (outcome,) in outcomes])

    def wait(self, task_id: UUID, is_reached: Callable[[Row], Any], limit_s: float = LIMIT_S) -> Row:
        """Wait until the job's row is as asked, and return it."""
        wait_for(lambda: is_reached(self.row(task_id)), f"job {task_id}: {self.row(task_id)}", limit_s)
        return self.row(task_id)

    def finished(self, task_id: UUID, limit_s: float = LIMIT_S) -> Row:
        """Wait until the job is finished."""
        return self.wait(task_id, lambda row: row.fields["finished_at"] is not None, limit_s)

    def stop_worker(self, process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> str:
        """Stop a worker in order and return what it logged."""
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=limit_s)
        assert process.returncode == 0, logged
        return logged

    def messages_ready(self) -> int:
        """Return how many messages wait for a worker."""
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            if self.settings.broker_url.startswith("amqp"):
                return int(self._queue(channel).queue_declare(passive=True).message_count)
            return int(channel.client.llen(self._queue.name))

    def messages_left(self) -> int:
        """Return how many messages the broker still holds after the workers have stopped."""
        unacknowledged = 0
        if not self.settings.broker_url.startswith("amqp"):
            with self._app.connection_for_read() as connection:
                unacknowledged = int(connection.default_channel.client.hlen("unacked"))
        return self.messages_ready() + unacknowledged

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._workers:
            process.kill()
            # What a task forked may hold the pipe for longer than anybody wants to wait.
            with process, suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=CLOSE_LIMIT_S)
        self.connection.close()

    def _beating(self) -> set[str]:
        return {row[0] for row in self.connection.execute("SELECT instance_id FROM instances WHERE part = 'worker'")}


def wait_for(is_reached: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until is_reached() is true. Raises AssertionError that names what was waited for."""
    deadline = time.monotonic() + limit_s
    while not is_reached():
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain for {what}"
        time.sleep(0.01)
