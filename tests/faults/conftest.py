"""One stack per broker, on a database that syncs its log to the disk as in production; and stacks of a case's own."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ENGINES
from tests.engines import EngineProcess, private_postgres
from tests.faults.faulty_stack import FaultyStack
from tests.faults.ground import DURABLE, Ground, StartFaulty
from tests.faults.links import LinkedStack, Links
from tests.faults.report import Report
from tests.faults.sizes import BROKERS, IS_FULL

REPORT = pytest.StashKey[Report]()


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
