"""Applies missing revisions beside running parts: a lock that is not to be had soon is given up, and tried again later.

Who waits for a lock makes all wait who come after. So a revision waits for LOCK_TIMEOUT_S at most, is rolled back as a
whole, and is tried again after a pause in which the others go on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg import Connection
from psycopg.rows import TupleRow
from sqlalchemy.exc import SQLAlchemyError

from core.database import UNAVAILABLE, connect
from core.events import Event
from core.migrations import SCHEMA_REVISION
from core.settings import Settings

#: Any constant will do; whoever upgrades holds this advisory lock.
LOCK_KEY: Final = 7_420_001
#: Less than a request may take (api/store.py): what waits behind a revision is late and does not fail.
LOCK_TIMEOUT_S: Final = 0.5
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 5.0
#: How long a revision is tried again.
BLOCKED_LIMIT_S: Final = 600.0
#: Another one may be building an index.
TURN_LIMIT_S: Final = 6 * 3600.0
TURN_PAUSE_S: Final = 0.2
STATEMENT_TIMEOUT_S: Final = 600.0

_BLOCKED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_OLDEST_TRANSACTION: Final = """
SELECT coalesce(nullif(application_name, ''), 'unnamed') || ', pid ' || pid
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'relation' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 1
"""

log = structlog.get_logger()


class BlockedError(Exception):
    """A revision has not got its locks in BLOCKED_LIMIT_S."""


def upgrade(settings: Settings) -> bool:
    """Apply the missing revisions, one transaction each, one program at a time; return whether there were any.

    Raises BlockedError, or one of UNAVAILABLE if the database is lost.
    """
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: _connect(settings))
    try:
        with _plain_errors(), engine.connect() as connection:
            _wait_for_turn(connection)
            revision = _current_revision(connection)  # under the lock: another may have upgraded
            _apply(connection)
    finally:
        engine.dispose()
    return revision != SCHEMA_REVISION


def _connect(settings: Settings) -> Connection[TupleRow]:
    connection = connect(settings, "migrations", STATEMENT_TIMEOUT_S, [f"lock_timeout={int(LOCK_TIMEOUT_S * 1000)}"])
    connection.autocommit = False  # or a revision and the note that it was applied would be two commits
    return connection


def _wait_for_turn(connection: sqlalchemy.Connection) -> None:
    """Take the advisory lock by asking again and again.

    A statement that waits for it would hold a snapshot, and CREATE INDEX CONCURRENTLY of the lock's holder waits for all
    snapshots: the two would wait for each other.
    """
    deadline = time.monotonic() + TURN_LIMIT_S
    is_told = False
    while not _scalar(connection, f"SELECT pg_try_advisory_lock({LOCK_KEY})"):
        if time.monotonic() > deadline:
            raise BlockedError("another program upgrades this database")
        if not is_told:
            log.info(Event.SCHEMA_BLOCKED, reason="another program upgrades this database")
            is_told = True
        time.sleep(TURN_PAUSE_S)


def _apply(connection: sqlalchemy.Connection, clock: Callable[[], float] = time.monotonic) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    deadline = clock() + BLOCKED_LIMIT_S
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            command.upgrade(config, "head")
        except SQLAlchemyError as error:
            if not isinstance(_driver_error(error), _BLOCKED):
                raise
            connection.rollback()
            reason = f"a lock was not to be had in {LOCK_TIMEOUT_S:g} s"
            if clock() > deadline:
                raise BlockedError(reason) from error
            oldest = _scalar(connection, _OLDEST_TRANSACTION)
            log.warning(Event.SCHEMA_BLOCKED, reason=reason, oldest_transaction=oldest, next_try_s=pause_s)
            time.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        else:
            return


def _current_revision(connection: sqlalchemy.Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    return revision


def _scalar(connection: sqlalchemy.Connection, query: str) -> Any:
    """Ask in a transaction that is over at once."""
    value = connection.execute(sqlalchemy.text(query)).scalar()
    connection.commit()
    return value


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise what psycopg raised where SQLAlchemy has wrapped a lost database."""
    try:
        yield
    except SQLAlchemyError as error:
        lost = _driver_error(error)
        if isinstance(lost, UNAVAILABLE):
            raise lost from error
        raise


def _driver_error(error: BaseException | None) -> BaseException | None:
    """Return what psycopg raised. SQLAlchemy raises another error above it when the connection is dead."""
    while error is not None and not isinstance(error, psycopg.Error):
        error = error.__cause__ or error.__context__
    return error
