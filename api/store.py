"""One connection to PostgreSQL that is repaired when it breaks, and a limit on how long anybody waits for it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection

from core.database import UNAVAILABLE, connect_async
from core.errors import StoreUnavailableError
from core.events import Event
from core.settings import Settings

Connection = AsyncConnection[tuple[Any, ...]]
Result = TypeVar("Result")

#: Longest wait of a request for the database. With all else it makes an answer in less than 3 s.
BUDGET_S: Final = 2.2
#: PostgreSQL ends a statement itself before we hang up on it: the connection can be used again.
STATEMENT_TIMEOUT_S: Final = 1.8
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25

#: SQLSTATE classes that another try within the budget does not cure (PostgreSQL documentation, appendix A): disk full and
#: out of memory, read-only, no such table or privilege.
_LASTING: Final = ("53100", "53200", "25006", "42", "28")

#: For reads of large tables: a plan that was made for an empty table, and kept, must not read a full one from end to end.
BY_INDEX: Final = (
    "enable_seqscan=off",
    "enable_bitmapscan=off",
    "enable_hashjoin=off",
    "enable_mergejoin=off",
    "jit=off",
)

log = structlog.get_logger()


class Store:
    """Runs operations on one connection, one at a time, each within BUDGET_S, or budget_s.

    A lost connection is made anew and the operation sent again as long as the budget lasts, so operations must be safe to
    repeat. No statement is ever cancelled: at the end of the budget the socket is shut down, psycopg sees the end of
    the stream, and the connection is thrown away. A connection in an unknown state is never used again.
    """

    def __init__(self, settings: Settings, purpose: str, session: Sequence[str] = (), budget_s: float | None = None) -> None:
        """Session: PostgreSQL's settings for its connections, as in "jit=off"."""
        self._settings = settings
        self._purpose = purpose
        self._session = session
        self._budget_s = BUDGET_S if budget_s is None else budget_s
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._lock = asyncio.Lock()
        self._is_lost = False
        self._refusal: tuple[float, str] | None = None

    def refusal(self, within_s: float) -> str | None:
        """Return why the database, though it is there, refused the last operation, if that was not longer ago."""
        if self._refusal is None or self._refusal[0] < asyncio.get_running_loop().time() - within_s:
            return None
        return self._refusal[1]

    async def run(self, operation: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Return what operation(connection) returns. Raises StoreUnavailableError at the end of the budget at the latest."""
        deadline = asyncio.get_running_loop().time() + self._budget_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._lock.acquire()
        except TimeoutError as error:
            raise self._unavailable(error) from error
        try:
            return await self._run_until(deadline, operation)
        finally:
            self._lock.release()

    async def _run_until(self, deadline: float, operation: Callable[[Connection], Awaitable[Result]]) -> Result:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                result = await self._try_once(deadline, operation)
            except (psycopg.DataError, psycopg.IntegrityError):
                raise
            except (psycopg.Error, *UNAVAILABLE) as error:
                await self._discard()
                if loop.time() + pause_s >= deadline or _is_lasting(error):
                    raise self._unavailable(error) from error
            else:
                self._note_success()
                return result
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _try_once(self, deadline: float, operation: Callable[[Connection], Awaitable[Result]]) -> Result:
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = await self._connect_until(deadline)
        timer = asyncio.get_running_loop().call_at(deadline, _hang_up, connection)
        try:
            return await operation(connection)
        finally:
            timer.cancel()

    async def _connect_until(self, deadline: float) -> Connection:
        """Return a new connection. Raises TimeoutError at the deadline; the attempt then goes on for who comes next."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        attempt = self._connecting
        await asyncio.wait({attempt}, timeout=deadline - asyncio.get_running_loop().time())
        if not attempt.done():
            raise TimeoutError("still connecting")
        self._connecting = None
        return attempt.result()

    async def _connect(self) -> Connection:
        try:
            return await connect_async(self._settings, f"api: {self._purpose}", STATEMENT_TIMEOUT_S, self._session)
        except psycopg.Error as error:
            # psycopg's frames hold the error, its traceback holds the frames, and they hold the socket of an attempt that
            # timed out: without this it stays open until a garbage collection, and takes one of the server's connections.
            error.__context__ = None
            raise error.with_traceback(None)  # noqa: B904  # the cause is what has to go

    async def warm_up(self) -> None:
        """Connect ahead of the first request, if the database is there."""
        with suppress(StoreUnavailableError):
            await self.run(_do_nothing)

    async def close(self) -> None:
        """Close the connection. The store can be used again; it then connects anew."""
        attempt, self._connecting = self._connecting, None
        if attempt is not None:
            attempt.cancel()
            with suppress(asyncio.CancelledError, psycopg.Error, *UNAVAILABLE):
                self._connection = await attempt
        await self._discard()

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    def _unavailable(self, error: BaseException) -> StoreUnavailableError:
        is_refused = _is_lasting(error)
        self._refusal = (asyncio.get_running_loop().time(), _first_line(error)) if is_refused else None
        if not self._is_lost:
            self._is_lost = True
            log.warning(Event.STORE_LOST, purpose=self._purpose, error=_first_line(error))
        return StoreUnavailableError(
            f"cannot {self._purpose}: the database is out of reach, full, or did not answer within {self._budget_s} s;"
            " try again"
        )

    def _note_success(self) -> None:
        self._refusal = None
        if self._is_lost:
            self._is_lost = False
            log.info(Event.STORE_RESTORED, purpose=self._purpose)


async def _do_nothing(_connection: Connection) -> None:
    return


def _hang_up(connection: Connection) -> None:
    """Shut the socket down: whoever waits for an answer sees the end of the stream at once."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def _is_lasting(error: BaseException) -> bool:
    sqlstate = getattr(error, "sqlstate", None)
    return sqlstate is not None and sqlstate.startswith(_LASTING)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
