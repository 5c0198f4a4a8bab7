"""One running service per broker."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.acceptance.service import Diary, Service
from tests.conftest import ENGINES, TEMPLATE
from tests.engines import EngineProcess
from tests.faults.checker import Checker
from tests.stack import ROOT, Stack

USER_CODE: Final = Path(__file__).with_name("user_code")

#: Six attempts in a few seconds.
RETRY_BASE_S: Final = 0.1

#: The scheduler counts the losses of dead workers, each worker those of its pool processes. Two of the former are enough
#: to wait for; the latter keep the default.
SCHEDULER: Final = {"MAX_LOSSES": "2"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the parts of the service complained of."""
    report = yield
    service = item.funcargs.get("service")
    if report.failed and isinstance(service, Service):
        report.sections.append(("complaints of the parts", service.stack.complaints()))
    return report


@pytest.fixture(scope="package", params=["rabbitmq", "valkey"])
def running_service(
    request: pytest.FixtureRequest, migrated_postgres: EngineProcess, engine_directory: Path
) -> Iterator[Service]:
    """The whole service, on each of the brokers in turn."""
    broker: EngineProcess = request.getfixturevalue(request.param)
    broker.start()
    migrated_postgres.start()
    name = f"acceptance_{request.param}"
    with psycopg.connect(migrated_postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
    directory = engine_directory / name
    effects_log = directory.with_suffix(".effects")
    environment = {
        "PYTHONPATH": f"{USER_CODE}:{ROOT}",
        "TASK_MODULES": "tasks,shop,tests.faults.effects",
        "EFFECTS_LOG": str(effects_log),
        "RETRY_BASE_S": str(RETRY_BASE_S),
    }
    database_url = migrated_postgres.url.replace("@/postgres?", f"@/{name}?")
    stack = Stack(directory, database_url, broker.url, environment, {"scheduler": SCHEDULER})
    request.config.stash[ENGINES].append(stack)
    stack.start()
    yield Service(stack, broker, migrated_postgres, Checker(database_url, effects_log, RETRY_BASE_S))
    stack.kill()


@pytest.fixture
def service(running_service: Service) -> Service:
    """The service, well."""
    running_service.make_well()
    return running_service


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    """What a task that holds is given."""
    return Diary(tmp_path / "diary")
