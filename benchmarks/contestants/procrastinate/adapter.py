"""How to run procrastinate."""

import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import run
from typing import Final

import psycopg

from benchmarks.contestant import Command, Contestant, Engines, Sum

#: Jobs at a time in each worker process.
CONCURRENCY: Final = 4


class Adapter(Contestant):
    """It keeps no results: that a job has succeeded, with the arguments that were asked for, is all there is to check."""

    title = "FastAPI `async` route with defer_async; procrastinate, four processes; all in PostgreSQL, no results kept"
    packages = ("procrastinate", "psycopg", "fastapi", "uvicorn", "pydantic")
    engine_names = ("postgres",)

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {"DATABASE_URL": engines.postgres_url, "POOL_SIZE": str(CONCURRENCY + 1)}
        self._database = psycopg.connect(engines.postgres_url, autocommit=True)

    def prepare(self) -> None:
        """Make the tables."""
        run(self._command("schema", "--apply"), cwd=self.path, env=self._environment, check=True, capture_output=True)

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn."""
        return [Command("api", self.uvicorn(port), {**self._environment, "POOL_SIZE": "10"})]

    def workers(self) -> Sequence[Command]:
        """Four workers, each with concurrency."""
        return [Command("worker", self._command("worker", f"--concurrency={CONCURRENCY}"), self._environment, count=4)]

    def expected(self, job: Sum) -> object:
        """Return the job's arguments, for there is no result."""
        return (job.x, job.y)

    def expected_status(self, job: Sum) -> object:  # noqa: ARG002  # it is the same for all
        """Return the state."""
        return "succeeded"

    def count_finished(self) -> int:
        """Also those that failed: read_results() tells."""
        row = self._database.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """Return the arguments of those that have succeeded."""
        rows = self._database.execute(
            "SELECT id, args FROM procrastinate_jobs WHERE status = 'succeeded' AND id = ANY (%s)",
            [list(map(int, task_ids))],
        )
        arguments = {str(job_id): (args["x"], args["y"]) for job_id, args in rows}
        return [arguments.get(task_id) for task_id in task_ids]

    def read_status(self, body: bytes) -> object:
        """Return the state, once it is final."""
        status = json.loads(body)["status"]
        return None if status in {"todo", "doing"} else status

    def clear(self) -> None:
        """Forget the jobs and their history; the workers stay registered."""
        self._database.execute("TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers")

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "procrastinate", "--app=tasks.app", *arguments]
