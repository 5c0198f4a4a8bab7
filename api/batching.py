"""Requests that arrive together share one round trip: while one batch is under way, the next one gathers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from core.errors import StoreUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

BATCH_LIMIT: Final = 500


class Batcher(Generic[Item, Answer]):
    """Hands items to `execute` in batches of up to BATCH_LIMIT, one batch at a time, in the order of their arrival.

    execute returns one answer per item, in order; an answer that is an exception is raised to whoever waits for it. When
    it raises StoreUnavailableError, all that wait get that error, so that nobody waits longer than one execution lasts.
    Any other error is the fault of one item: each item of the batch is then executed alone.
    """

    def __init__(self, execute: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]) -> None:
        self._execute = execute
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Return the future answer to item."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return future

    async def drain(self) -> None:
        """Wait until nobody waits any more, which execute's own limit bounds."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            while self._waiting:
                # Whatever else is ready in this turn of the loop joins the batch.
                await asyncio.sleep(0)
                batch = self._waiting[:BATCH_LIMIT]
                del self._waiting[:BATCH_LIMIT]
                await self._settle(batch)
        finally:
            self._task = None

    async def _settle(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._execute([item for item, _ in batch])
        except StoreUnavailableError as error:
            # Each gets an exception of its own: a shared one would collect the traceback of every request.
            for _, future in [*batch, *self._take_all()]:
                _resolve(future, StoreUnavailableError(*error.args))
        except Exception as error:  # noqa: BLE001  # whoever waits for the item gets it
            if len(batch) == 1:
                _resolve(batch[0][1], error)
                return
            for single in batch:
                await self._settle([single])
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                _resolve(future, answer)

    def _take_all(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        waiting, self._waiting = self._waiting, []
        return waiting


def _resolve(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
