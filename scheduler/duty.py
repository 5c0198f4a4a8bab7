"""A duty of the scheduler: a step that is done again and again, in a thread and on a database connection of its own."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.database import DATABASE_ERRORS, connect
from core.settings import Settings
from scheduler.outage import Backoff, Outage

#: So that a server whose scheduler's machine is gone ends its session, and frees its locks, within 15 s.
_NOTICE_DEAD_CLIENT: Final = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 4",
)

log = structlog.get_logger()


class Duty(Protocol):
    """What one thread does. A step raises what psycopg raises; a lost database is waited out by the caller."""

    @property
    def name(self) -> str:
        """One word, for logs and for the connection's name."""

    @property
    def session(self) -> Sequence[str]:
        """Statements for each new connection."""

    def step(self, connection: Connection[TupleRow]) -> float:
        """Do what there is to do; return the seconds until the next step."""

    def forget(self) -> None:
        """Forget what was observed: the connection was lost, and nobody knows for how long."""

    def leave(self, connection: Connection[TupleRow]) -> None:
        """Do what a clean stop needs of the database, if it can be reached."""

    def close(self) -> None:
        """Close what the duty has opened itself."""


class DutyRunner:
    """Runs one duty until it is told to stop."""

    def __init__(self, duty: Duty, settings: Settings, outage: Outage) -> None:
        self._duty = duty
        self._settings = settings
        self._outage = outage
        self._backoff = Backoff()
        self._connection: Connection[TupleRow] | None = None

    def run(self, stop: threading.Event) -> None:
        """Step until stop is set. Raises only what is a defect."""
        while not stop.is_set():
            stop.wait(self._step())
        self._leave()

    def _step(self) -> float:
        try:
            pause_s = self._duty.step(self._connected())
        except DATABASE_ERRORS as error:
            self._outage.begin(self._duty.name, error)
            self._duty.forget()
            self._drop()
            return self._backoff.next_s()
        self._outage.end(self._duty.name)
        self._backoff.reset()
        return pause_s

    def _connected(self) -> Connection[TupleRow]:
        if self._connection is None:
            self._connection = connect(self._settings, f"scheduler {self._duty.name}")
            for statement in (*_NOTICE_DEAD_CLIENT, *self._duty.session):
                self._connection.execute(statement.encode())
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(*DATABASE_ERRORS):
                self._duty.leave(self._connection)
        self._drop()
        self._duty.close()
