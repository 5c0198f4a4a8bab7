"""What a database says in passing ends no thread and fails no job: a killed backend, a failover, a missing schema."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from tests.contract.worker_rig import ROOT, WorkerRig, wait_for
from tests.engines import EngineProcess, private_postgres
from tests.rabbitmq import free_ports
from worker.connection import LazyConnection, PatientConnection

RUNNING_S = 2.0


@pytest.fixture(scope="module", params=["socket", "TCP"])
def private_database_url(request: pytest.FixtureRequest, engine_directory: Path) -> Iterator[str]:
    """A server of this module's own, for its backends are killed, by a Unix socket and by TCP."""
    (port,) = free_ports(1)
    options = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with private_postgres(engine_directory / f"killed-{request.param}", options) as server:
        yield (
            f"{server.url}&port={port}" if request.param == "socket" else f"postgresql://postgres@127.0.0.1:{port}/postgres"
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "in mid-statement"])
def test_killed_backend_is_a_lost_connection(private_database_url: str, number: signal.Signals, is_idle: bool) -> None:
    with connection_to(private_database_url) as (connection, pid):
        if is_idle:
            os.kill(pid, number)
            wait_for(lambda: not is_backend(pid), "the backend to end")
        else:
            threading.Timer(0.3, os.kill, (pid, number)).start()
        assert_lost_and_back(connection)


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "in mid-statement"])
def test_another_killed_backend_is_a_lost_connection(private_database_url: str, is_idle: bool) -> None:
    """PostgreSQL ends all others with it, and says so to them before: libpq then tells of the loss in another way."""
    with connection_to(private_database_url) as (connection, pid), connection_to(private_database_url) as (_, other):
        if is_idle:
            os.kill(other, signal.SIGKILL)
            wait_for(lambda: not is_backend(pid), "all backends to end")
        else:
            threading.Timer(0.3, os.kill, (other, signal.SIGKILL)).start()
        assert_lost_and_back(connection)


@contextmanager
def connection_to(url: str) -> Iterator[tuple[LazyConnection, int]]:
    """Yield a worker's connection and the process of its backend."""
    settings = Settings(database_url=url, broker_url="redis://localhost")
    patient = PatientConnection(settings, "test", 10.0)  # the server may be starting anew
    patient.execute("SELECT 1", {})
    patient.close()
    connection = LazyConnection(settings, "test", 10.0)
    ((pid,),) = connection.execute("SELECT pg_backend_pid()", {})
    yield connection, pid
    connection.close()


def assert_lost_and_back(connection: LazyConnection) -> None:
    """See that a statement fails as one does whose connection is lost, and that those after it work again."""
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(10)", {})

    def works() -> bool:
        try:
            return connection.execute("SELECT 1", {}) == [(1,)]
        except psycopg.OperationalError:
            return False

    wait_for(works, "the server to start anew")


def is_backend(pid: int) -> bool:
    """Whether a process still runs."""
    return Path(f"/proc/{pid}").exists()


@pytest.mark.timeout(90)
def test_database_that_is_read_only_for_a_moment_costs_nothing(
    valkey_rig: WorkerRig, migrated_postgres: EngineProcess, mark: Path, tmp_path: Path
) -> None:
    rig = valkey_rig
    worker = rig.start_worker(WORKER_SLOTS="2")
    running = rig.submit("ill.sleeps", seconds=RUNNING_S, mark=str(tmp_path / "sleeps"))
    calling = rig.submit("ill.reports_and_calls", mark=str(mark))
    wait_for(lambda: mark.exists() and (tmp_path / "sleeps").exists(), "both to run")
    waiting = rig.submit_marked(30)
    with read_only(rig, migrated_postgres):
        mark.unlink()
        time.sleep(RUNNING_S + 1.0)  # the first has ended, and its outcome waits
        assert rig.row(running).status == "STARTED"
        assert worker.poll() is None
    for task_id in (running, calling, *waiting):
        row = rig.finished(task_id, limit_s=30)
        assert (row.status, row.outcomes) == ("SUCCESS", ["SUCCESS"]), row
    logged = rig.stop_worker(worker)
    assert "Traceback" not in logged


@contextmanager
def read_only(rig: WorkerRig, server: EngineProcess) -> Iterator[None]:
    """Make the rig's database read-only for all but the rig, as after a failover to a standby."""
    name = rig.connection.info.dbname
    with psycopg.connect(server.url, autocommit=True) as admin:
        for setting in ("on", "off"):
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {setting}".encode())
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
            admin.execute(query, [name, rig.connection.info.backend_pid])
            if setting == "on":
                yield


def test_worker_that_starts_before_the_migration_waits_for_it(
    migrated_postgres: EngineProcess, valkey_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(migrated_postgres.url, autocommit=True) as admin, ExitStack() as ends:
        admin.execute("CREATE DATABASE bare")
        ends.callback(admin.execute, "DROP DATABASE bare WITH (FORCE)")
        url = migrated_postgres.url.replace("@/postgres?", "@/bare?")
        environment = {**os.environ, "DATABASE_URL": url, "BROKER_URL": valkey_url, "PYTHONPATH": str(ROOT)}
        with (tmp_path / "log").open("w") as log:
            worker = subprocess.Popen([sys.executable, "-m", "worker"], cwd=ROOT, env=environment, stderr=log)
        ends.callback(worker.wait)
        ends.callback(worker.kill)
        wait_for(lambda: "store.lost" in (tmp_path / "log").read_text(), "the worker to miss its tables", limit_s=30)
        subprocess.run([sys.executable, "-m", "core.migrations"], cwd=ROOT, env=environment, check=True)
        rig = WorkerRig(Settings(database_url=url, broker_url=valkey_url))
        ends.callback(rig.close)
        assert rig.finished(rig.submit("tasks.add", x=1, y=1), limit_s=30).result == "2"
        wait_for(lambda: "store.restored" in (tmp_path / "log").read_text(), "the heartbeat")
        assert worker.poll() is None
