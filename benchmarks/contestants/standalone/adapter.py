"""How to run this project in its standalone form: part by part, or as the one command that a user gives."""

import json
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks.contestant import Command, Contestant, Engines
from benchmarks.contestants.ours import adapter as ours


class Adapter(ours.Adapter):
    """The same parts, so that workers can be stopped and engines be told apart; a Valkey of its own as the broker."""

    title = "the same with the engines of `./dev run`: Valkey in place of RabbitMQ"
    engine_names = ("broker", "postgres")

    @property
    def broker_url(self) -> str:
        """The Valkey that is set up as standalone does."""
        return self.engines.broker_url


class Whole(Contestant):
    """`./dev run` itself, with the engines that it starts. Its workers run from the start."""

    title = "`./dev run`: supervisor, api, scheduler, four workers, PostgreSQL and Valkey"
    is_ours = True

    def __init__(self, name: str, python: Path, data_path: Path) -> None:
        super().__init__(name, python, Engines("", "", Path(), 0))
        self.path = ours.ROOT
        self._data_path = data_path
        self._database: ours.Database | None = None

    def api(self, port: int) -> Sequence[Command]:
        """One command that starts everything."""
        options = ["--port", str(port), "--data-dir", str(self._data_path)]
        return [Command("standalone", [str(self.python), "-m", "standalone", *options])]

    @property
    def runs_jobs(self) -> bool:
        """Its workers are among what the one command starts."""
        return True

    def count_finished(self) -> int:
        """Ask its own database."""
        return ours.count_finished(self._connection())

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """Ask its own database."""
        return ours.read_results(self._connection(), task_ids)

    def _connection(self) -> ours.Database:
        if self._database is None:
            run_path = json.loads((self._data_path / "lock").read_text())["run_path"]
            self._database = psycopg.connect(f"postgresql://postgres@/postgres?host={run_path}", autocommit=True)
        return self._database

    def close(self) -> None:
        """A connection has a process of its own in PostgreSQL."""
        if self._database is not None:
            self._database.close()
            self._database = None
