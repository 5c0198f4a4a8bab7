"""The backlog limit: how many unfinished jobs there may be before submissions are refused."""

import asyncio
from contextlib import suppress
from typing import Final

from api.store import Connection, Store
from core.errors import BacklogFullError, StoreUnavailableError
from core.queries import load_query

BACKLOG: Final = load_query("api", "backlog")

#: A count is as old as this at most, or as old as counting takes 1 % of the time.
REFRESH_S: Final = 1.0
REFRESH_PER_COUNT: Final = 100
#: When the limit seems to be reached, submissions ask anew, but not more often than this.
RECHECK_S: Final = 0.1


class Backlog:
    """Knows about how many jobs are unfinished.

    It is the last count of the table and all that this process has accepted since: too many rather than too few, except
    for what other replicas accepted within the last second. When that reaches the limit, the table is counted again.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._limit = limit
        self._store = store
        self._estimate = 0
        self._counted = -1
        self._counted_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._recheck: asyncio.Task[None] | None = None

    async def admit(self, count: int = 1) -> None:
        """Count so many jobs more, or none. Raises BacklogFullError if there would be too many unfinished ones."""
        if self._estimate + count > self._limit:
            await self._count_again()
            if self._estimate + count > self._limit:
                raise BacklogFullError(f"{self._estimate} jobs are unfinished, and {self._limit} may be; try again later")
        self._estimate += count

    def start(self) -> None:
        """Begin to count in the background, while this process accepts jobs."""
        self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._recheck is not None:
            await asyncio.wait({self._recheck})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if self._estimate != self._counted:
                if self._recheck is None:
                    self._recheck = asyncio.create_task(self._count())
                # Shielded: a statement is never cancelled.
                await asyncio.shield(self._recheck)
            await asyncio.sleep(max(REFRESH_S, (loop.time() - began) * REFRESH_PER_COUNT))

    async def _count_again(self) -> None:
        if self._recheck is None:
            if asyncio.get_running_loop().time() < self._counted_at + RECHECK_S:
                return
            self._recheck = asyncio.create_task(self._count())
        await asyncio.shield(self._recheck)

    async def _count(self) -> None:
        async def select(connection: Connection) -> int:
            cursor = await connection.execute(BACKLOG, {"limit": self._limit})
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

        before = self._estimate
        try:
            counted = await self._store.run(select)
        except StoreUnavailableError:
            # The submission itself will find the database away and say so.
            return
        else:
            self._estimate = self._counted = counted + (self._estimate - before)
        finally:
            self._counted_at = asyncio.get_running_loop().time()
            self._recheck = None
