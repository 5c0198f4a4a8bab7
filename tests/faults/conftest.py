"""One stack per broker, on a database that syncs its log to the disk as in production."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ENGINES
from tests.engines import EngineProcess, private_postgres
from tests.faults.checker import Checker
from tests.faults.faulty_stack import FaultyStack
from tests.stack import ROOT, Stack

FIGURES = pytest.StashKey[list[str]]()

DURABLE = {"fsync": "on", "full_page_writes": "on"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of each case."""
    figures = terminalreporter.config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("fault run")
        terminalreporter.write_line("\n".join(figures))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the parts of the service complained of."""
    report = yield
    if report.failed and "faulty" in item.funcargs:
        report.sections.append(("complaints of the parts", item.funcargs["faulty"].stack.complaints()))
    return report


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines to print at the end."""
    return pytestconfig.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="package")
def durable_postgres(pytestconfig: pytest.Config, engine_directory: Path) -> Iterator[EngineProcess]:
    """A PostgreSQL that keeps what it has committed even when the machine dies."""
    process = private_postgres(engine_directory / "durable", DURABLE)
    pytestconfig.stash[ENGINES].append(process)
    yield process.start()
    process.kill()


@pytest.fixture(scope="package", params=["rabbitmq", "valkey"])
def faulty(request: pytest.FixtureRequest, durable_postgres: EngineProcess, engine_directory: Path) -> Iterator[FaultyStack]:
    """The service on each of the brokers in turn."""
    broker: EngineProcess = request.getfixturevalue(request.param)
    broker.start()
    durable_postgres.start()
    directory = engine_directory / f"faults-{request.param}"
    database_url = _make_database(durable_postgres, f"faults_{request.param}")
    effects_log = directory.with_suffix(".effects")
    environment = {"TASK_MODULES": "tasks,tests.faults.effects", "EFFECTS_LOG": str(effects_log), "RETRY_BASE_S": "0.2"}
    stack = Stack(directory, database_url, broker.url, environment)
    request.config.stash[ENGINES].append(stack)  # it has pids, and ends with the run
    checker = Checker(database_url, effects_log)
    stack.start()
    yield FaultyStack(stack, checker, broker, durable_postgres)
    stack.kill()


def _make_database(postgres: EngineProcess, name: str) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.url.replace("@/postgres?", f"@/{name}?")
    environment = {**os.environ, "DATABASE_URL": url, "BROKER_URL": "redis://localhost"}
    subprocess.run([sys.executable, "-m", "core.migrations"], cwd=ROOT, env=environment, check=True, capture_output=True)
    return url
