"""A connection that opens when it is needed and is dropped when it breaks: one that raises, and one that waits."""

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from psycopg import Connection, OperationalError
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from core.database import DATABASE_ERRORS, REFUSALS, connect
from core.events import Event
from core.settings import Settings

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
#: Each statement has one plan, whatever its parameters, and it goes by index. Left to itself, PostgreSQL plans statements
#: with arrays anew each time, which takes longer than to run them; and a plan made for an empty table reads a full one from
#: end to end, until the table's statistics have followed.
SESSION: Final = (
    "plan_cache_mode=force_generic_plan",
    "enable_seqscan=off",
    "enable_bitmapscan=off",
    "enable_hashjoin=off",
    "enable_mergejoin=off",
    "enable_material=off",
    "jit=off",
)
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

log = structlog.get_logger()


class Prepared(NamedTuple):
    """A statement that the server has parsed, and the parameters that it takes."""

    name: bytes
    parameters: tuple[str, ...]
    formats: list[PyFormat]


class Statements:
    """Runs statements on a connection, each prepared once.

    It goes past psycopg's cursors, which cost as much again as a short statement; and a signal handler that raises, as at a
    time limit, cannot leave an answer half read, because libpq returns first.
    """

    def __init__(self, connection: Connection[TupleRow]) -> None:
        self.connection = connection
        self._transformer = Transformer(connection)
        self._prepared: dict[str, Prepared] = {}
        self._numbers = count()
        self._lock = Lock()

    def execute(self, query: str, parameters: dict[str, Any]) -> list[TupleRow]:
        """Run a statement with %(name)s placeholders, whose types PostgreSQL infers. Raises psycopg.Error."""
        with self._lock:
            prepared = self._prepared.get(query) or self._prepare(query)
            values = [parameters[name] for name in prepared.parameters]
            texts: Any = self._transformer.dump_sequence(values, prepared.formats)  # psycopg's types forget None, for NULL
            result = self._check(self.connection.pgconn.exec_prepared(prepared.name, texts))
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)

    def _prepare(self, query: str) -> Prepared:
        text, names = positional(query)
        prepared = Prepared(f"statement_{next(self._numbers)}".encode(), names, [PyFormat.TEXT] * len(names))
        self._check(self.connection.pgconn.prepare(prepared.name, text))
        self._prepared[query] = prepared
        return prepared

    def _check(self, result: PGresult) -> PGresult:
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return result
        error = error_from_result(result)
        # libpq makes a result itself for a connection that broke. It has no SQLSTATE, while the status may still be good.
        if error.sqlstate is None or self.connection.pgconn.status == ConnStatus.BAD:
            raise OperationalError(result.get_error_message())
        raise error


class LazyConnection:
    """A connection in autocommit mode. It is made by the process that uses it first, so after a fork."""

    def __init__(self, settings: Settings, application_name: str, statement_timeout_s: float) -> None:
        self._settings = settings
        self._application_name = application_name
        self._statement_timeout_s = statement_timeout_s
        self._statements: Statements | None = None

    def execute(self, query: str, parameters: dict[str, Any]) -> list[TupleRow]:
        """Run a statement with %(name)s placeholders and return its rows.

        Raises one of DATABASE_ERRORS. Then, but for REFUSALS, the next call connects anew, maybe to another server.
        """
        statements = self._statements
        try:
            if statements is None:
                connection = connect(self._settings, self._application_name, self._statement_timeout_s, SESSION)
                statements = self._statements = Statements(connection)
            return statements.execute(query, parameters)
        except REFUSALS:
            raise
        except DATABASE_ERRORS:
            if statements is not None:
                statements.connection.close()
                if self._statements is statements:  # another thread may have renewed it
                    self._statements = None
            raise

    def renew(self) -> None:
        """Use a new connection from now on; a statement that another thread still runs keeps the old one."""
        self._statements = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        statements, self._statements = self._statements, None
        if statements is not None:
            statements.connection.close()


class PatientConnection(LazyConnection):
    """Waits until the database takes a statement; for statements that may be sent twice without harm."""

    def execute(self, query: str, parameters: dict[str, Any]) -> list[TupleRow]:
        """Run a statement, however long that takes. Raises one of REFUSALS."""
        pause_s = 0.0
        while True:
            try:
                rows = super().execute(query, parameters)
            except REFUSALS:
                raise
            except DATABASE_ERRORS as error:
                if pause_s == 0.0:
                    log.warning(Event.STORE_LOST, error=str(error).strip().split("\n")[0])
                pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, pause_s * 2))
                time.sleep(pause_s)
            else:
                if pause_s > 0.0:
                    log.info(Event.STORE_RESTORED)
                return rows


@lru_cache
def positional(query: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with PostgreSQL's own placeholders ($1, $2, ...) and the names that belong to them."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(query)))
    text = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", query)
    return text.replace("%%", "%").encode(), names


def uuid_array(values: Iterable[UUID]) -> str:
    """Return PostgreSQL's text form of a uuid[]. psycopg's own costs as much as a short statement."""
    return "{" + ",".join(map(str, values)) + "}"


def text_array(values: Iterable[str | None]) -> str:
    """Return PostgreSQL's text form of a text[] (PostgreSQL documentation, 8.15.6)."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
