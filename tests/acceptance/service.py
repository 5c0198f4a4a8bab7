"""The running service that acceptance tests talk to, and the engines below it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.api_client import ApiClient
from tests.engines import EngineProcess, wait_until
from tests.faults.checker import Checker
from tests.stack import Stack


@dataclass(frozen=True, slots=True)
class Service:
    """A stack on real engines; its parts are started again when they die, its engines are not."""

    stack: Stack
    broker: EngineProcess
    database: EngineProcess
    checker: Checker

    @property
    def client(self) -> ApiClient:
        """What a user's program has."""
        return self.stack.client

    def make_well(self) -> None:
        """Start what a test before has stopped, and return when all are at work."""
        self.database.start()
        self.broker.start()
        self.stack.wait_until_ready()


class Diary:
    """Where a task that holds notes each of its attempts, and what lets it go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        """Return what the task is given."""
        return str(self._path)

    @property
    def entries(self) -> int:
        """How many attempts have begun."""
        return len(self._path.read_text().splitlines()) if self._path.exists() else 0

    def wait_for(self, entries: int, limit_s: float = 15.0) -> None:
        """Return when so many attempts have begun."""
        wait_until(lambda: self.entries >= entries, limit_s, f"attempt {entries} has begun")

    def let_go(self) -> None:
        """Let all attempts end, also those to come."""
        self._path.with_name(f"{self._path.name}.go").touch()


def wait_for_status(client: ApiClient, task_id: str, is_reached: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return the status when it is as asked."""
    wait_until(lambda: is_reached(client.status(task_id)), 15.0, f"a status of {task_id} like no {client.status(task_id)}")
    return client.status(task_id)
