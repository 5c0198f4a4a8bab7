"""The one-shot that upgrades the schema waits for a database that is late."""

import psycopg
import pytest
from structlog.testing import capture_logs

from core.migrations.__main__ import PAUSE_S, WAIT_S, when_available


class Database:
    """Answers after so many refusals, or never; each look takes two seconds."""

    def __init__(self, refusals: float) -> None:
        self.refusals = refusals
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def upgrade(self) -> bool:
        self.now += 2.0
        self.refusals -= 1
        if self.refusals >= 0:
            raise psycopg.OperationalError("connection timeout expired\nand more of it")
        return True


def test_late_database_is_waited_for_and_told_of_once() -> None:
    database = Database(refusals=40)
    with capture_logs() as logs:
        assert when_available(database.upgrade, database.clock, database.sleep)
    assert [(line["event"], line["error"]) for line in logs] == [("store.lost", "connection timeout expired")]


def test_database_that_never_comes_is_given_up() -> None:
    database = Database(refusals=float("inf"))
    with pytest.raises(psycopg.OperationalError):
        when_available(database.upgrade, database.clock, database.sleep)
    assert WAIT_S <= database.now <= WAIT_S + 2.0 + PAUSE_S
