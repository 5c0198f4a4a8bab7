"""`python -m core.migrations` says what it has done, beside a service that goes on, and whatever interrupts it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from core.migrations import SCHEMA_REVISION
from core.migrations.upgrading import LOCK_TIMEOUT_S
from tests.api_rig import Hand, RunningApi
from tests.engines import wait_until
from tests.later_code import LATER_REVISION, make_later_code
from tests.stack import ROOT

LIMIT_S: Final = 30.0
#: What a submission may take besides waiting for a lock, on a machine that does much else. One that waits longer is refused.
SLACK_S: Final = 1.6

COLUMN: Final = "ALTER TABLE jobs ADD COLUMN later integer;"
INDEX: Final = "-- Of a large table.\nCREATE INDEX CONCURRENTLY jobs_queue ON jobs (queue, task_id);"
IS_VALID: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('jobs_queue')"


class Migrator:
    """The program, of the present code or of a later one."""

    def __init__(self, database_url: str, log_path: Path, code: Path = ROOT) -> None:
        self._log_path = log_path
        environment = {
            **os.environ,
            "PYTHONPATH": f"{code}:{ROOT}",
            "DATABASE_URL": database_url,
            "BROKER_URL": "redis://localhost",
            "LOG_FORMAT": "json",
        }
        with log_path.open("wb") as log:
            command = [sys.executable, "-P", "-m", "core.migrations"]
            self._process = subprocess.Popen(command, cwd="/", env=environment, stderr=log)

    @property
    def events(self) -> list[str]:
        """What it has said."""
        return [line["event"] for line in self._lines()]

    def wait_for(self, event: str, count: int = 1) -> None:
        """Return when it has said this so often."""
        wait_until(lambda: self.events.count(event) >= count, LIMIT_S, f"{count} times {event}, not only {self.events}")

    def end(self) -> tuple[str, str | None]:
        """Return the last event that it logs, and its revision."""
        assert self._process.wait(LIMIT_S) == 0, self._log_path.read_text()
        last = self._lines()[-1]
        return last["event"], last["revision"]

    def fail(self) -> None:
        """Wait until it has failed."""
        assert self._process.wait(LIMIT_S) == 1

    def kill(self) -> None:
        """kill -9 it."""
        self._process.kill()
        self._process.wait(LIMIT_S)

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log_path.read_text().splitlines() if line.startswith("{")]


@contextmanager
def transaction_on_jobs(database_url: str) -> Iterator[None]:
    """Have an open transaction that has read jobs and keeps its snapshot, as a backup does."""
    with psycopg.connect(database_url, application_name="backup") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT FROM jobs LIMIT 1")
        yield


def ask(database_url: str, query: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def end_session(database_url: str) -> None:
    """End the migrator's session while it waits in CREATE INDEX."""
    query = "FROM pg_stat_activity WHERE application_name = 'migrations' AND wait_event_type = 'Lock'"
    wait_until(lambda: ask(database_url, f"SELECT count(*) {query}"), LIMIT_S, "the migrator waits")
    ask(database_url, f"SELECT pg_terminate_backend(pid) {query}")


def test_empty_database_is_upgraded(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    assert Migrator(database_url, tmp_path / "log").end() == ("schema.upgraded", SCHEMA_REVISION)


def test_database_with_the_newest_revision_is_current(database_url: str, tmp_path: Path) -> None:
    migrator = Migrator(database_url, tmp_path / "log")
    assert migrator.end() == ("schema.current", SCHEMA_REVISION)
    assert migrator.events == ["schema.current"]


def test_blocked_migrator_holds_submissions_up_no_longer_than_its_lock_timeout(
    api: RunningApi, database_url: str, tmp_path: Path
) -> None:
    waits_s = []
    with transaction_on_jobs(database_url):
        migrator = Migrator(database_url, tmp_path / "log", make_later_code(tmp_path / "later", COLUMN))
        while migrator.events.count("schema.blocked") < 2:
            began = time.monotonic()
            api.submit()
            waits_s.append(time.monotonic() - began)
    assert max(waits_s) < LOCK_TIMEOUT_S + SLACK_S
    assert max(waits_s) > LOCK_TIMEOUT_S / 2  # it did wait: the lock was asked for in between
    assert migrator.end() == ("schema.upgraded", LATER_REVISION)
    assert "backup, pid" in (tmp_path / "log").read_text()
    api.submit()


def test_revision_and_the_note_of_it_are_one_commit(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE alembic_version ADD CHECK (version_num <= '%s')" % SCHEMA_REVISION)  # noqa: UP031
    Migrator(database_url, tmp_path / "log", make_later_code(tmp_path / "later", COLUMN)).fail()
    query = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'jobs' AND column_name = 'later'"
    assert ask(database_url, query) == 0


def test_interrupted_index_is_built_again(database_url: str, tmp_path: Path) -> None:
    later = make_later_code(tmp_path / "later", INDEX)
    with transaction_on_jobs(database_url):
        interrupted = Migrator(database_url, tmp_path / "log", later)
        end_session(database_url)
        interrupted.wait_for("store.lost")
    assert interrupted.end() == ("schema.upgraded", LATER_REVISION)
    assert ask(database_url, IS_VALID) is True


def test_index_of_a_killed_migrator_is_built_again(database_url: str, tmp_path: Path) -> None:
    later = make_later_code(tmp_path / "later", INDEX)
    with transaction_on_jobs(database_url):
        killed = Migrator(database_url, tmp_path / "log", later)
        wait_until(lambda: ask(database_url, IS_VALID) is False, LIMIT_S, "it builds")
        killed.kill()
        end_session(database_url)
    assert ask(database_url, IS_VALID) is False
    assert Migrator(database_url, tmp_path / "log", later).end() == ("schema.upgraded", LATER_REVISION)
    assert ask(database_url, IS_VALID) is True


def test_index_that_was_built_but_not_noted_is_kept(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INDEX.encode())
    later = make_later_code(tmp_path / "later", INDEX)
    assert Migrator(database_url, tmp_path / "log", later).end() == ("schema.upgraded", LATER_REVISION)


def test_two_migrators_at_once_build_one_index(api: RunningApi, database_url: str, tmp_path: Path) -> None:
    later = make_later_code(tmp_path / "later", INDEX)
    with transaction_on_jobs(database_url):
        first = Migrator(database_url, tmp_path / "first", later)
        wait_until(lambda: ask(database_url, IS_VALID) is False, LIMIT_S, "the first builds")
        second = Migrator(database_url, tmp_path / "second", later)
        second.wait_for("schema.blocked")
        api.submit()
    assert first.end() == ("schema.upgraded", LATER_REVISION)
    assert second.end() == ("schema.current", LATER_REVISION)
    assert ask(database_url, IS_VALID) is True


@pytest.mark.parametrize(("oldest_code", "status"), [(SCHEMA_REVISION, 200), (LATER_REVISION, 503)])
def test_old_api_is_ready_on_a_newer_schema_that_was_made_for_it_too(
    api: RunningApi, database_url: str, tmp_path: Path, oldest_code: str, status: int
) -> None:
    later = make_later_code(tmp_path / "later", COLUMN, oldest_code)
    assert Migrator(database_url, tmp_path / "log", later).end() == ("schema.upgraded", LATER_REVISION)
    with Hand(database_url) as hand:
        hand.beat("scheduler")
        hand.beat("worker")
    answer = api.get("/readyz")
    assert answer.status_code == status
    detail = f"revision {LATER_REVISION}, newer than the {SCHEMA_REVISION} of this version"
    assert answer.json()["checks"]["schema"]["detail"].startswith(detail)


def test_jobs_are_accepted_while_an_index_is_built(api: RunningApi, database_url: str, tmp_path: Path) -> None:
    later = make_later_code(tmp_path / "later", INDEX)
    with transaction_on_jobs(database_url):
        migrator = Migrator(database_url, tmp_path / "log", later)
        wait_until(lambda: ask(database_url, IS_VALID) is False, LIMIT_S, "it builds")
        for _ in range(20):
            api.submit()  # or it would be refused: the lock is held until the end of this transaction
        assert ask(database_url, IS_VALID) is False
    assert migrator.end() == ("schema.upgraded", LATER_REVISION)
