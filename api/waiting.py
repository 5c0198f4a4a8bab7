"""Waiting for jobs to finish: one shared query looks for all that anybody waits for, as long as somebody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from api.store import Connection, Store
from core.errors import StoreUnavailableError
from core.queries import load_query

FINISHED: Final = load_query("api", "finished")

#: Pause between two looks: short for few waiters; for many, so long that looking takes a fifth of the time at most.
SHORTEST_PAUSE_S: Final = 0.005
LONGEST_PAUSE_S: Final = 0.05
PAUSE_PER_LOOK: Final = 4


class FinishWatch:
    """Tells waiters that their job has finished."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[UUID, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_released = False

    @asynccontextmanager
    async def finish_of(self, task_id: UUID) -> AsyncIterator[asyncio.Future[None]]:
        """Give a future that is done when the job has finished, or when the watch is released.

        It fails with StoreUnavailableError when the database goes away. After the block nobody looks for the job any more.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._is_released:
            future.set_result(None)
        waiters = self._waiters.setdefault(task_id, set())
        waiters.add(future)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield future
        finally:
            future.cancel()
            waiters.discard(future)
            if not waiters and self._waiters.get(task_id) is waiters:
                del self._waiters[task_id]

    @property
    def waiter_count(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiters.values()))

    @property
    def is_looking(self) -> bool:
        """Whether the shared query is being repeated."""
        return self._task is not None

    def release(self) -> None:
        """Let everybody go at once, now and from now on: the service is stopping."""
        self._is_released = True
        for task_id in list(self._waiters):
            self._tell(task_id)

    async def drain(self) -> None:
        """Release everybody and finish what is under way."""
        self.release()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiters:
                began = loop.time()
                await self._look()
                look_s = loop.time() - began
                await asyncio.sleep(min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, look_s * PAUSE_PER_LOOK)))
        finally:
            self._task = None

    async def _look(self) -> None:
        task_ids = list(self._waiters)

        async def select(connection: Connection) -> list[tuple[UUID]]:
            cursor = await connection.execute(FINISHED, {"task_ids": task_ids})
            return await cursor.fetchall()

        try:
            finished = await self._store.run(select)
        except StoreUnavailableError as error:
            for task_id in list(self._waiters):
                self._tell(task_id, error)
        else:
            for (task_id,) in finished:
                self._tell(task_id)

    def _tell(self, task_id: UUID, error: StoreUnavailableError | None = None) -> None:
        for future in self._waiters.pop(task_id, ()):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(StoreUnavailableError(*error.args))
