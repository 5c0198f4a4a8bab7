"""A connection that opens when it is needed and is dropped when it breaks: one that raises, and one that waits."""

import re
import time
from functools import lru_cache
from typing import Any, Final

import structlog
from psycopg import Connection, RawCursor
from psycopg.rows import TupleRow

from core.database import UNAVAILABLE, connect
from core.events import Event
from core.settings import Settings

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0

log = structlog.get_logger()


class LazyConnection:
    """A connection in autocommit mode. It is made by the process that uses it first, so after a fork."""

    def __init__(self, settings: Settings, application_name: str, statement_timeout_s: float) -> None:
        self._settings = settings
        self._application_name = application_name
        self._statement_timeout_s = statement_timeout_s
        self._connection: Connection[TupleRow] | None = None
        self._cursor: RawCursor[TupleRow] | None = None

    def execute(self, query: str, parameters: dict[str, Any]) -> RawCursor[TupleRow]:
        """Run a statement with %(name)s placeholders; its rows are there until the next one.

        Raises one of UNAVAILABLE; then the next call connects anew. One cursor serves all statements, and each is translated
        once: both are a quarter of what psycopg costs for a short statement.
        """
        try:
            if self._cursor is None:
                self._connection = connect(self._settings, self._application_name, self._statement_timeout_s)
                self._cursor = RawCursor(self._connection)
            text, names = positional(query)
            return self._cursor.execute(text, [parameters[name] for name in names])
        except UNAVAILABLE:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            connection.close()


class PatientConnection(LazyConnection):
    """Waits as long as the database is away; for statements that may be sent twice without harm."""

    def execute(self, query: str, parameters: dict[str, Any]) -> RawCursor[TupleRow]:
        """Run a statement, however long that takes."""
        pause_s = 0.0
        while True:
            try:
                return super().execute(query, parameters)
            except UNAVAILABLE as error:
                if pause_s == 0.0:
                    log.warning(Event.STORE_LOST, error=str(error).strip().split("\n")[0])
                pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, pause_s * 2))
                time.sleep(pause_s)


@lru_cache
def positional(query: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with PostgreSQL's own placeholders ($1, $2, ...) and the names that belong to them."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(query)))
    text = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", query)
    return text.replace("%%", "%").encode(), names
