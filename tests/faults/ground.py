"""Where services are started that are to be broken: the engines, and what the parts are told."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.conftest import ENGINES, empty_place
from tests.engines import EngineProcess
from tests.faults.checker import RETRY_BASE_S, Checker
from tests.faults.faulty_stack import FaultyStack
from tests.faults.links import Environments
from tests.stack import ROOT, Stack

#: PostgreSQL keeps what it has committed even when the machine dies.
DURABLE: Final = {"fsync": "on", "full_page_writes": "on"}
#: Tasks of the load; the retries of its flaky ones shall not take long.
TASKS: Final = {"TASK_MODULES": "tasks,tests.faults.effects", "RETRY_BASE_S": str(RETRY_BASE_S)}

#: Makes the environments of a case's parts from the URLs of database and broker.
MakeEnvironments = Callable[[str, str], Environments]
#: Starts a service of a case's own; takes what makes its environments, or nothing.
StartFaulty = Callable[..., FaultyStack]

_NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Ground:
    """Where services are started: engines, and a directory for what the parts write."""

    config: pytest.Config
    broker: EngineProcess
    database: EngineProcess
    directory: Path

    def start(self, ends: ExitStack, make_environments: MakeEnvironments | None = None) -> FaultyStack:
        """Start a service in a fresh database and a fresh place at the broker; `ends` ends it."""
        self.broker.start()
        self.database.start()
        name = f"faults_{next(_NUMBERS)}"
        database_url = _make_database(self.database, name)
        broker_url = empty_place(self.broker)
        environments = make_environments(database_url, broker_url) if make_environments else {}
        effects_log = self.directory / f"{name}.effects"
        environment = {**TASKS, "EFFECTS_LOG": str(effects_log), **environments.get("", {})}
        stack = Stack(self.directory / name, database_url, broker_url, environment, environments)
        self.config.stash[ENGINES].append(stack)
        ends.callback(stack.kill)
        stack.start()
        return FaultyStack(stack, Checker(database_url, effects_log), self.broker, self.database)


def _make_database(postgres: EngineProcess, name: str) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.url.replace("@/postgres?", f"@/{name}?")
    environment = {**os.environ, "DATABASE_URL": url, "BROKER_URL": "redis://localhost"}
    subprocess.run([sys.executable, "-m", "core.migrations"], cwd=ROOT, env=environment, check=True, capture_output=True)
    return url
