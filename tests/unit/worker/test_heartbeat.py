"""The heartbeat's thread: it survives what a database says, and what it cannot survive ends the worker."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from core.settings import Settings
from worker import heartbeat as module
from worker.attempt_store import GIVE_BACK, HAND_BACK, AttemptStore
from worker.connection import LazyConnection
from worker.drain import Drain
from worker.heartbeat import LEAVE, Heartbeat
from worker.holdings import Holdings
from worker.hung_loop import HungLoop
from worker.interruption import Interruption
from worker.loop_watch import LoopWatch
from worker.parent_reports import ParentReports, UnknownTask
from worker.retrying import Retrying

LIMIT_S = 10.0
UNKNOWN = UnknownTask(UUID(int=1), 1, "no.such_task")

PASSING = [
    psycopg.OperationalError("server closed the connection unexpectedly"),
    psycopg.DatabaseError("a result without SQLSTATE"),
    psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
    psycopg.errors.UndefinedTable('relation "instances" does not exist'),
    psycopg.errors.InsufficientPrivilege("permission denied"),
    psycopg.errors.NumericValueOutOfRange("integer out of range"),
    psycopg.InterfaceError("the connection is closed"),
]


class Connection:
    """Raises these errors, one for each statement, and takes what follows."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.statements: list[str] = []
        self.has_taken = threading.Event()

    def fail_next(self, error: Exception) -> None:
        self._errors.append(error)

    def execute(self, query: str, _parameters: dict[str, Any]) -> list[Any]:
        if self._errors:
            raise self._errors.pop(0)
        self.statements.append(query)
        if query == module.BEAT:
            self.has_taken.set()
        return []

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    monkeypatch.setattr(module, "RECONNECT_PAUSE_S", 0.0)


def make(connection: Connection, tmp_path: Path) -> tuple[Heartbeat, ParentReports, threading.Event]:
    settings = Settings(
        database_url="postgresql://nowhere", broker_url="redis://nowhere", heartbeat_file=str(tmp_path / "heartbeat")
    )
    holdings = Holdings()
    lazy = cast("LazyConnection", connection)
    reports = ParentReports(settings, AttemptStore(lazy, "w"), cast("Retrying", None), {})
    watch = LoopWatch()
    watch.turn(works=True)
    no_slot: Callable[[int], None] = lambda _pid: None  # noqa: E731
    heartbeat = Heartbeat(
        settings,
        "w",
        ("default",),
        connection=lazy,
        holdings=holdings,
        reports=reports,
        interruption=Interruption(holdings, no_slot),
        hung_loop=HungLoop(watch, holdings, reports, lambda: None),
    )
    has_ended = threading.Event()
    heartbeat.end_worker = has_ended.set
    return heartbeat, reports, has_ended


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_it_beats_on_whatever_the_database_says(tmp_path: Path, error: Exception) -> None:
    connection = Connection(error, error, error)
    heartbeat, _, has_ended = make(connection, tmp_path)
    heartbeat.start()
    assert connection.has_taken.wait(LIMIT_S)
    heartbeat.stop(LIMIT_S)
    assert not has_ended.is_set()
    assert (tmp_path / "heartbeat").exists()


def test_a_defect_ends_the_worker(tmp_path: Path) -> None:
    heartbeat, _, has_ended = make(Connection(RuntimeError("a defect")), tmp_path)
    heartbeat.start()
    assert has_ended.wait(LIMIT_S)


def test_a_report_that_does_not_fit_is_dropped_and_the_next_is_written(tmp_path: Path) -> None:
    connection = Connection(psycopg.errors.NumericValueOutOfRange("integer out of range"))
    _, reports, _ = make(connection, tmp_path)
    reports.postpone(UNKNOWN)
    reports.give_back([UUID(int=2)])
    reports.write()
    assert connection.statements == [GIVE_BACK]


def test_a_report_is_kept_while_the_database_is_read_only(tmp_path: Path) -> None:
    connection = Connection(psycopg.errors.ReadOnlySqlTransaction("a failover"))
    _, reports, _ = make(connection, tmp_path)
    reports.give_back([UUID(int=2)])
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reports.write()
    reports.write()
    assert connection.statements == [GIVE_BACK]


def test_the_process_ends_even_if_leaving_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    heartbeat, _, _ = make(Connection(RuntimeError("a defect")), tmp_path)
    drain = Drain(heartbeat, 1.0)
    monkeypatch.setattr(heartbeat, "join", lambda _timeout: None)
    with pytest.raises(RuntimeError):
        drain.abort()
    assert codes == [70]


def test_a_defect_in_a_report_keeps_nothing_from_being_handed_back(tmp_path: Path) -> None:
    connection = Connection(RuntimeError("a defect"))
    heartbeat, reports, has_ended = make(connection, tmp_path)
    request = type("Request", (), {"time_start": 1.0})()
    heartbeat._holdings.add(UUID(int=8), UUID(int=9), request)
    reports.give_back([UUID(int=2)])
    heartbeat.start()
    assert has_ended.wait(LIMIT_S)
    connection.fail_next(RuntimeError("again"))
    heartbeat.stop(LIMIT_S)
    assert connection.statements == [HAND_BACK, LEAVE]
