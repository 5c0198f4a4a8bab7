"""One stack per broker, on a database that syncs its log to the disk as in production; and stacks of a case's own."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.conftest import ENGINES, empty_place
from tests.engines import EngineProcess, private_postgres
from tests.faults.checker import RETRY_BASE_S, Checker
from tests.faults.faulty_stack import FaultyStack
from tests.faults.links import Environments, LinkedStack, Links
from tests.faults.report import Report
from tests.faults.sizes import BROKERS, IS_FULL
from tests.stack import ROOT, Stack

REPORT = pytest.StashKey[Report]()

DURABLE: Final = {"fsync": "on", "full_page_writes": "on"}
#: Tasks of the load; the retries of its flaky ones shall not take long.
TASKS: Final = {"TASK_MODULES": "tasks,tests.faults.effects", "RETRY_BASE_S": str(RETRY_BASE_S)}

#: Makes the environments of a case's parts from the URLs of database and broker.
MakeEnvironments = Callable[[str, str], Environments]
StartFaulty = Callable[..., FaultyStack]

_NUMBERS: Final = count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is marked full_only to the full form."""
    if not IS_FULL:
        full_only = [item for item in items if item.get_closest_marker("full_only")]
        config.hook.pytest_deselected(items=full_only)
        items[:] = [item for item in items if item not in full_only]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of each case."""
    report = terminalreporter.config.stash.get(REPORT, None)
    if report:
        terminalreporter.section("fault run")
        terminalreporter.write_line("\n".join(report.lines))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the parts of the service complained of."""
    report = yield
    if report.failed:
        for value in item.funcargs.values():
            faulty = value.faulty if isinstance(value, LinkedStack) else value
            if isinstance(faulty, FaultyStack):
                report.sections.append(("complaints of the parts", faulty.stack.complaints()))
    return report


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Takes the figures of a case."""
    return pytestconfig.stash.setdefault(REPORT, Report())


@pytest.fixture(scope="package")
def durable_postgres(pytestconfig: pytest.Config, engine_directory: Path) -> Iterator[EngineProcess]:
    """A PostgreSQL that keeps what it has committed even when the machine dies."""
    process = private_postgres(engine_directory / "durable", DURABLE)
    pytestconfig.stash[ENGINES].append(process)
    yield process.start()
    process.kill()


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
        self.config.stash[ENGINES].append(stack)  # it has pids, and ends with the run
        ends.callback(stack.kill)
        stack.start()
        return FaultyStack(stack, Checker(database_url, effects_log), self.broker, self.database)


@pytest.fixture(scope="package", params=BROKERS)
def ground(request: pytest.FixtureRequest, durable_postgres: EngineProcess, engine_directory: Path) -> Ground:
    """The engines, with each of the brokers in turn."""
    return Ground(request.config, request.getfixturevalue(request.param), durable_postgres, engine_directory)


@pytest.fixture(scope="package")
def faulty(ground: Ground) -> Iterator[FaultyStack]:
    """The service, for the cases that leave it as it was."""
    with ExitStack() as ends:
        yield ground.start(ends)


@pytest.fixture
def start_faulty(ground: Ground) -> Iterator[StartFaulty]:
    """Start a service of the case's own."""
    with ExitStack() as ends:
        yield partial(ground.start, ends)


@pytest.fixture(scope="package")
def linked(ground: Ground) -> Iterator[LinkedStack]:
    """A service whose links to its engines may be cut, and those links."""
    links = Links()
    with ExitStack() as ends:
        ends.callback(links.close)
        yield LinkedStack(ground.start(ends, links.environments), links)


def _make_database(postgres: EngineProcess, name: str) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.url.replace("@/postgres?", f"@/{name}?")
    environment = {**os.environ, "DATABASE_URL": url, "BROKER_URL": "redis://localhost"}
    subprocess.run([sys.executable, "-m", "core.migrations"], cwd=ROOT, env=environment, check=True, capture_output=True)
    return url
