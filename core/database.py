"""Connections to PostgreSQL, the same in every part: short time-outs, keepalives, no statement without a limit."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from core import keepalive
from core.settings import Settings

#: What a statement raises when the database is away, going away, full, or not answering.
UNAVAILABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError, ConnectionError, TimeoutError)

#: All that a statement can raise. Besides UNAVAILABLE, a database may be read-only for a moment (a failover), or be without
#: its schema (a part that starts before the migration, a restore): that passes as well, and a thread has to survive it.
DATABASE_ERRORS: Final = (psycopg.Error, ConnectionError, TimeoutError)

#: What does not pass: the statement's parameters do not fit, so it fails again however often it is sent.
REFUSALS: Final = (psycopg.DataError, psycopg.IntegrityError)

CONNECT_TIMEOUT_S: Final = 2


def connection_options(application_name: str, statement_timeout_s: float, session: Sequence[str] = ()) -> dict[str, Any]:
    """Return libpq parameters under which a dead peer is noticed within about 5 s and no statement runs for ever.

    session: more of PostgreSQL's settings, as in "jit=off".
    """
    timeout_ms = int(statement_timeout_s * 1000)
    return {
        "application_name": application_name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": keepalive.IDLE_S,
        "keepalives_interval": keepalive.INTERVAL_S,
        "keepalives_count": keepalive.COUNT,
        "tcp_user_timeout": keepalive.USER_TIMEOUT_MS,
        "options": f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms} -c timezone=UTC"
        " -c idle_in_transaction_session_timeout=30000" + "".join(f" -c {setting}" for setting in session),
    }


def connect(
    settings: Settings, application_name: str, statement_timeout_s: float = 10.0, session: Sequence[str] = ()
) -> Connection[TupleRow]:
    """Open a connection in autocommit mode. Raises one of UNAVAILABLE if there is none to be had within 2 s."""
    options = connection_options(application_name, statement_timeout_s, session)
    return psycopg.connect(settings.database_url, autocommit=True, prepare_threshold=1, **options)


async def connect_async(
    settings: Settings, application_name: str, statement_timeout_s: float = 10.0, session: Sequence[str] = ()
) -> AsyncConnection[TupleRow]:
    """Open an asyncio connection in autocommit mode; otherwise as connect."""
    options = connection_options(application_name, statement_timeout_s, session)
    return await AsyncConnection.connect(settings.database_url, autocommit=True, prepare_threshold=1, **options)
