"""Fixtures for all tests: private engines, a fresh database and a fresh place on a broker for each test, leak checks."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, LiteralString

import hypothesis
import psycopg
import pytest
import redis

from core.settings import Settings
from tests.engines import VALKEY_DATABASES, EngineProcess, Started, private_postgres, private_valkey
from tests.processes import children_of, describe, is_zombie
from tests.rabbitmq import RabbitMQProcess, is_rabbitmq_installed, private_rabbitmq

# A shared machine may stall for longer than Hypothesis' 200 ms, and nothing is to be left on the disk. Here, for a test
# takes the profile that holds when its module is imported.
hypothesis.settings.register_profile("patient", deadline=None, database=None)
hypothesis.settings.load_profile("patient")

ROOT: Final = Path(__file__).resolve().parents[1]
IS_CI: Final = os.environ.get("CI", "").lower() == "true"
TEMPLATE: Final = "migrated"

#: How long processes and connections may take to go after a test has ended.
GRACE_S: Final = 3.0

_NUMBERS: Final = count()
_VHOST_NUMBERS: Final = count()
_DIRECTORY_PREFIX: Final = "task-test-"
_PR_SET_CHILD_SUBREAPER: Final = 36

ENGINES = pytest.StashKey[list[Started]]()
ENGINE_DIRECTORY = pytest.StashKey[Path]()
RABBITMQ = pytest.StashKey[RabbitMQProcess]()
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Clear away what killed runs left, and adopt the orphans of this one, so that the leak check sees them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_DIRECTORY_PREFIX}*"):
        pid = directory.name.removeprefix(_DIRECTORY_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(directory, ignore_errors=True)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    directory = Path(tempfile.mkdtemp(prefix=f"{_DIRECTORY_PREFIX}{os.getpid()}-"))
    session.config.stash[ENGINE_DIRECTORY] = directory
    session.config.stash[ENGINES] = []
    session.config.stash[LEFT_OUT] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start RabbitMQ now, in the background, if a test will need it: it takes seconds."""
    is_needed = any(_needs_rabbitmq(item) for item in session.items)
    if is_needed and is_rabbitmq_installed() and not session.config.option.collectonly:
        # in this thread, for the node dies with the thread that started it
        process = private_rabbitmq(session.config.stash[ENGINE_DIRECTORY] / "rabbitmq")
        session.config.stash[RABBITMQ] = process
        session.config.stash[ENGINES].append(process)
        process.begin_start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test that needs RabbitMQ where it is not installed, before anything is started for it."""
    if _needs_rabbitmq(item) and not is_rabbitmq_installed() and not IS_CI:
        item.config.stash[LEFT_OUT].append(item.nodeid)
        pytest.skip("RabbitMQ is not installed")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End the engines, and fail if anything else of ours still runs."""
    for process in session.config.stash[ENGINES]:
        process.kill()
    leaked = _end_strays(lambda: set(children_of(os.getpid())))
    shutil.rmtree(session.config.stash[ENGINE_DIRECTORY], ignore_errors=True)
    if leaked:
        print(f"\nstill running after the tests: {leaked}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was left out."""
    left_out = terminalreporter.config.stash[LEFT_OUT]
    if left_out:
        terminalreporter.section("RabbitMQ is not installed", red=True, bold=True)
        terminalreporter.line(
            f"{len(left_out)} tests were LEFT OUT. ./dev test --install brings it (root, Debian or Ubuntu)."
        )


@pytest.fixture(scope="session")
def engine_directory(pytestconfig: pytest.Config) -> Path:
    """A short path, for sockets below it."""
    return pytestconfig.stash[ENGINE_DIRECTORY]


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, engine_directory: Path) -> EngineProcess:
    """A private PostgreSQL."""
    process = private_postgres(engine_directory / "postgres")
    pytestconfig.stash[ENGINES].append(process)
    return process.start()


@pytest.fixture(scope="session")
def valkey(pytestconfig: pytest.Config, engine_directory: Path) -> EngineProcess:
    """A private Valkey."""
    process = private_valkey(engine_directory / "valkey")
    pytestconfig.stash[ENGINES].append(process)
    return process.start()


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> RabbitMQProcess:
    """A private RabbitMQ node."""
    if not is_rabbitmq_installed():
        pytest.fail("RabbitMQ is not installed; under CI=true that is a failure")
    return pytestconfig.stash[RABBITMQ].start()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: EngineProcess) -> EngineProcess:
    """The private PostgreSQL with a template database that has the schema."""
    _administer(postgres, f"CREATE DATABASE {TEMPLATE}")
    command = [sys.executable, "-m", "core.migrations"]
    environment = {**os.environ, "DATABASE_URL": _database_url(postgres, TEMPLATE), "BROKER_URL": "redis://localhost"}
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return postgres


@pytest.fixture
def database_url(migrated_postgres: EngineProcess) -> Iterator[str]:
    """A fresh database with the schema. The test must leave no connection to it open."""
    migrated_postgres.start()  # a test before may have stopped it
    name = f"test_{next(_NUMBERS)}"
    _administer(migrated_postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield _database_url(migrated_postgres, name)
    migrated_postgres.start()
    leaked = _connections(migrated_postgres, name)
    _administer(migrated_postgres, f"DROP DATABASE {name} WITH (FORCE)")
    assert not leaked, f"connections left open: {leaked}"


@pytest.fixture(params=["rabbitmq", "valkey"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty place on each of the brokers in turn: a virtual host of its own, a database of its own."""
    process: EngineProcess = request.getfixturevalue(request.param)
    return empty_place(process.start())  # a test before may have stopped it


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitMQProcess) -> str:
    """An empty virtual host."""
    return empty_place(rabbitmq.start())


@pytest.fixture
def valkey_url(valkey: EngineProcess) -> str:
    """An empty database of Valkey."""
    return empty_place(valkey.start())


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Settings:
    """Settings for a fresh database and each of the brokers in turn; the rest are the defaults."""
    urls: dict[str, Any] = {"database_url": database_url, "broker_url": broker_url}
    return Settings(**urls)


@pytest.fixture(autouse=True)
def _no_process_is_leaked(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail a test that leaves processes behind; end them."""
    before = set(children_of(os.getpid()))
    yield
    engines = pytestconfig.stash[ENGINES]
    leaked = _end_strays(lambda: set(children_of(os.getpid())) - before - {pid for engine in engines for pid in engine.pids})
    assert not leaked, f"processes left running: {leaked}"


def empty_place(broker: EngineProcess) -> str:
    """Return the URL of a virtual host that nobody else uses, or of an emptied database of Valkey."""
    if isinstance(broker, RabbitMQProcess):
        return broker.engine.vhost_url(next(_VHOST_NUMBERS))
    return _empty_database_of(broker)


def _end_strays(find_strays: Callable[[], set[int]]) -> list[str]:
    """Wait a little for strays to end by themselves, kill those that do not, and return what these were."""
    deadline = time.monotonic() + GRACE_S
    leaked: list[str] = []
    while strays := find_strays():
        running = {pid for pid in strays if not is_zombie(pid)}
        if time.monotonic() > deadline and not leaked:
            leaked = [describe(pid) for pid in running]
            for pid in running:
                os.kill(pid, signal.SIGKILL)
        for pid in strays - running:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if running:
            time.sleep(0.01)
    return leaked


def _needs_rabbitmq(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "rabbitmq" in item.fixturenames or "rabbitmq" in parameters


def _empty_database_of(valkey: EngineProcess) -> str:
    number = next(_NUMBERS) % VALKEY_DATABASES
    url = valkey.url.replace("virtual_host=0", f"virtual_host={number}")
    path, _, _ = url.removeprefix("redis+socket://").partition("?")
    with redis.Redis(unix_socket_path=path, db=number) as client:
        client.flushdb()
    return url


def _database_url(postgres: EngineProcess, name: str) -> str:
    return postgres.url.replace("@/postgres?", f"@/{name}?")


def _administer(postgres: EngineProcess, statement: LiteralString) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(statement)


def _connections(postgres: EngineProcess, name: str) -> list[str]:
    """Return who is still connected to a database after a little time."""
    deadline = time.monotonic() + GRACE_S
    query = (
        "SELECT application_name, state, query FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    )
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        while rows := connection.execute(query, [name]).fetchall():
            if time.monotonic() > deadline:
                return [" ".join(map(str, row)) for row in rows]
            time.sleep(0.01)
    return []
