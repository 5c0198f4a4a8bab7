"""`python -m scheduler` as a supervisor sees it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.contract.worker_rig import wait_for
from tests.engines import EngineProcess
from tests.processes import standing_still

ROOT = Path(__file__).resolve().parents[2]


class RunningScheduler:
    """The process and what it logs."""

    def __init__(self, log_path: Path, **environment: str) -> None:
        self._log_path = log_path
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scheduler"],
                cwd=ROOT,
                env={**os.environ, "LOG_FORMAT": "json", **environment},
                stderr=log,
                start_new_session=True,
            )

    def events(self) -> list[str]:
        """Return the events of the log so far."""
        return [json.loads(line)["event"] for line in self._log_path.read_text().splitlines()]

    def wait_for(self, event: str) -> None:
        """Wait until the event is in the log."""
        wait_for(lambda: event in self.events(), f"{event} in the log")

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, wait for the end, return how long that took."""
        started_at = time.monotonic()
        self.process.send_signal(signal_number)
        self.process.wait(10)
        return time.monotonic() - started_at


@contextmanager
def scheduler(tmp_path: Path, **environment: str) -> Iterator[RunningScheduler]:
    running = RunningScheduler(tmp_path / "scheduler.log", **environment)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def instances(database_url: str) -> list[tuple[str, int]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT part, beat FROM instances").fetchall()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_beats_and_stops_cleanly_within_two_seconds(
    tmp_path: Path, database_url: str, valkey_url: str, signal_number: signal.Signals
) -> None:
    with scheduler(tmp_path, DATABASE_URL=database_url, BROKER_URL=valkey_url) as running:
        wait_for(lambda: [part for part, beat in instances(database_url) if beat > 1] == ["scheduler"], "a second beat")
        assert running.stop(signal_number) < 2
        assert running.process.returncode == 0
        assert running.events() == ["scheduler.started", "scheduler.stopped"]
    assert instances(database_url) == []


def test_it_starts_before_database_and_broker_and_still_stops_in_time(tmp_path: Path) -> None:
    urls = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "BROKER_URL": "redis://127.0.0.1:1/0"}
    with scheduler(tmp_path, **urls) as running:
        running.wait_for("store.lost")
        assert running.stop() < 2
        assert running.process.returncode == 0
        assert running.events() == ["scheduler.started", "store.lost", "scheduler.stopped"]


def test_it_stops_in_time_while_the_database_hangs(
    tmp_path: Path, postgres: EngineProcess, database_url: str, valkey_url: str
) -> None:
    with scheduler(tmp_path, DATABASE_URL=database_url, BROKER_URL=valkey_url) as running:
        wait_for(lambda: instances(database_url), "a beat")
        assert postgres.pid is not None
        with standing_still(postgres.pid):
            assert running.stop() < 2.5
            assert running.process.returncode == 0


def test_it_waits_for_the_schema(tmp_path: Path, postgres: EngineProcess, valkey_url: str) -> None:
    with scheduler(tmp_path, DATABASE_URL=postgres.url, BROKER_URL=valkey_url) as running:
        running.wait_for("store.lost")
        assert running.process.poll() is None


def test_a_schema_that_does_not_fit_is_waited_out(tmp_path: Path, database_url: str, valkey_url: str) -> None:
    """As between the two steps of an upgrade: what the database says ends no thread. (A defect does: see test_crew.)"""
    rename = "ALTER TABLE live_jobs RENAME COLUMN {} TO {}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(rename.format("published_at", "elsewhere").encode())
        with scheduler(tmp_path, DATABASE_URL=database_url, BROKER_URL=valkey_url) as running:
            running.wait_for("store.lost")
            connection.execute(rename.format("elsewhere", "published_at").encode())
            running.wait_for("store.restored")
            assert running.process.poll() is None


def test_a_setting_that_is_missing_is_named(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "BROKER_URL")}
    outcome = subprocess.run(
        [sys.executable, "-m", "scheduler"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 78
    assert "DATABASE_URL" in outcome.stderr
