"""The thread that looks at a pool process's ledger: as long as there is reason, whatever goes wrong."""

import threading
from collections.abc import Iterable
from typing import cast

import pytest
from psycopg import OperationalError

from worker.attempt_store import AttemptStore
from worker.connection import LazyConnection
from worker.late_writer import LateWriter

LIMIT_S = 5.0


class Connection:
    def __init__(self) -> None:
        self.is_closed = threading.Event()

    def close(self) -> None:
        self.is_closed.set()


class Ledger:
    """Owes something until it was looked at as often as there are errors (None: no error)."""

    def __init__(self, errors: Iterable[Exception | None]) -> None:
        self._errors = list(errors)
        self.looks = 0
        self.is_done = threading.Event()

    @property
    def owes(self) -> bool:
        return bool(self._errors)

    def hurry(self, _store: AttemptStore) -> None:
        self.looks += 1
        error = self._errors.pop(0) if self._errors else None
        if not self._errors:
            self.is_done.set()
        if error is not None:
            raise error


def follow(ledger: Ledger) -> tuple[LateWriter, Connection]:
    connection = Connection()
    writer = LateWriter(cast("LazyConnection", connection), "w")
    writer.follow(ledger)
    return writer, connection


def test_it_looks_as_long_as_something_is_owed_then_gives_up_its_connection() -> None:
    ledger = Ledger([None] * 3)
    writer, connection = follow(ledger)
    writer.wake()
    assert connection.is_closed.wait(LIMIT_S)
    assert ledger.looks == 3


def test_no_thread_is_started_without_a_reason() -> None:
    before = threading.active_count()
    follow(Ledger([None]))
    assert threading.active_count() == before


@pytest.mark.parametrize("error", [OperationalError("the database is away"), RuntimeError("read only")])
def test_it_goes_on_after_an_error(error: Exception) -> None:
    ledger = Ledger([error, None])
    writer, _ = follow(ledger)
    writer.wake()
    assert ledger.is_done.wait(LIMIT_S)
    assert ledger.looks == 2


def test_it_can_be_woken_again() -> None:
    first, second = Ledger([None]), Ledger([None])
    writer, connection = follow(first)
    writer.wake()
    assert connection.is_closed.wait(LIMIT_S)
    writer.follow(second)
    writer.wake()
    assert second.is_done.wait(LIMIT_S)
