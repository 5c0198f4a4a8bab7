"""Waiting for jobs: one shared query looks for all that anybody waits for, as long as somebody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from starlette.types import Receive

from api.bodies import ClientGoneError
from api.store import Connection, Store
from core.errors import StoreUnavailableError
from core.queries import load_query

FINISHED: Final = load_query("api", "finished")
MOVED: Final = load_query("api", "moved")

#: Pause between two looks: a tenth of the time for which the youngest waits, so that nobody waits much longer than the job
#: takes; for many, so long that looking takes a fifth of the time at most.
SHORTEST_PAUSE_S: Final = 0.001
LONGEST_PAUSE_S: Final = 0.05
PAUSE_PER_WAIT: Final = 0.1
MOST_PAUSE_PER_LOOK: Final = 4

#: All that can change about an unfinished job; compared, not understood.
State = tuple[Any, ...]


class Watch:
    """Tells waiters that their job has finished, and followers that it has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[UUID, set[asyncio.Future[None]]] = {}
        self._followers: dict[UUID, set[asyncio.Event]] = {}
        self._states: dict[UUID, State | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._youngest_since = 0.0
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
        self._begin()
        try:
            yield future
        finally:
            future.cancel()
            waiters.discard(future)
            if not waiters and self._waiters.get(task_id) is waiters:
                del self._waiters[task_id]

    @asynccontextmanager
    async def changes_of(self, task_id: UUID) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever the job may have changed since it was cleared, and when the watch is released.

        The first look always sets it: what changed before the first look is not missed. While the database is away nothing
        happens.
        """
        event = asyncio.Event()
        if self._is_released:
            event.set()
        followers = self._followers.setdefault(task_id, set())
        followers.add(event)
        self._states[task_id] = None
        self._begin()
        try:
            yield event
        finally:
            followers.discard(event)
            if not followers:
                del self._followers[task_id]
                del self._states[task_id]

    @property
    def waiter_count(self) -> int:
        """How many wait for a finish."""
        return sum(map(len, self._waiters.values()))

    @property
    def follower_count(self) -> int:
        """How many follow a job."""
        return sum(map(len, self._followers.values()))

    @property
    def is_looking(self) -> bool:
        """Whether the shared query is being repeated."""
        return self._task is not None

    @property
    def is_released(self) -> bool:
        """Whether the service is stopping."""
        return self._is_released

    def release(self) -> None:
        """Let everybody go at once, now and from now on: the service is stopping."""
        self._is_released = True
        for task_id in list(self._waiters):
            self._tell(task_id)
        for followers in self._followers.values():
            for event in followers:
                event.set()

    async def drain(self) -> None:
        """Release everybody and finish what is under way."""
        self.release()
        if self._task is not None:
            await asyncio.wait({self._task})

    def _begin(self) -> None:
        self._youngest_since = asyncio.get_running_loop().time()
        if self._task is None and not self._is_released:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (self._waiters or self._followers) and not self._is_released:
                began = loop.time()
                await self._look()
                now = loop.time()
                many = min(MOST_PAUSE_PER_LOOK, len(self._waiters) + len(self._followers))
                pause_s = max(SHORTEST_PAUSE_S, (now - self._youngest_since) * PAUSE_PER_WAIT, (now - began) * many)
                await asyncio.sleep(min(LONGEST_PAUSE_S, pause_s))
        finally:
            self._task = None

    async def _look(self) -> None:
        waited, followed = list(self._waiters), list(self._followers)

        async def select(connection: Connection) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
            return await _fetch(connection, FINISHED, waited), await _fetch(connection, MOVED, followed)

        try:
            finished, states = await self._store.run(select)
        except StoreUnavailableError as error:
            for task_id in list(self._waiters):
                self._tell(task_id, error)
        else:
            for (task_id,) in finished:
                self._tell(task_id)
            found = {task_id: state for task_id, *state in states}
            for task_id in followed:
                self._compare(task_id, tuple(found.get(task_id, ())))

    def _compare(self, task_id: UUID, state: State) -> None:
        """Tell a job's followers if it is not where it was. One that is gone has the state ()."""
        if task_id in self._followers and state != self._states[task_id]:
            self._states[task_id] = state
            for event in self._followers[task_id]:
                event.set()

    def _tell(self, task_id: UUID, error: StoreUnavailableError | None = None) -> None:
        for future in self._waiters.pop(task_id, ()):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(StoreUnavailableError(*error.args))


async def wait_for_finish(watch: Watch, task_id: UUID, wait_s: float, receive: Receive) -> None:
    """Return when the job has finished or after wait_s. Raises StoreUnavailableError, ClientGoneError."""
    async with watch.finish_of(task_id) as finish:
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait({finish, gone}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if finish.done():
            finish.result()
        elif gone.done():
            raise ClientGoneError


async def until_gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _fetch(connection: Connection, query: Any, task_ids: list[UUID]) -> list[tuple[Any, ...]]:
    if not task_ids:
        return []
    cursor = await connection.execute(query, {"task_ids": task_ids})
    return await cursor.fetchall()
