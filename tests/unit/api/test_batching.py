"""api.batching: what arrives together shares one execution."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from api.batching import BATCH_LIMIT, Batcher
from core.errors import StoreUnavailableError

Execute = Callable[[Sequence[int]], Coroutine[Any, Any, Sequence[int | Exception]]]


class Gate:
    """Doubles numbers, in batches that it remembers; each batch waits until the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def execute(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.begun.set()
        await self.open.wait()
        return [item * 2 for item in items]


def test_items_of_one_turn_share_a_batch_and_get_their_own_answers() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        batcher: Batcher[int, int] = Batcher(gate.execute)
        assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == [0, 2, 4, 6, 8]
        assert gate.batches == [[0, 1, 2, 3, 4]]

    asyncio.run(scenario())


def test_items_gather_while_a_batch_is_under_way() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: Batcher[int, int] = Batcher(gate.execute)
        first = batcher.submit(1)
        await gate.begun.wait()
        others = []
        for number in (2, 3):
            others.append(batcher.submit(number))
            await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *others)
        assert gate.batches == [[1], [2, 3]]

    asyncio.run(scenario())


def test_batch_is_limited() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        batcher: Batcher[int, int] = Batcher(gate.execute)
        await asyncio.gather(*(batcher.submit(number) for number in range(BATCH_LIMIT + 1)))
        assert list(map(len, gate.batches)) == [BATCH_LIMIT, 1]

    asyncio.run(scenario())


def test_unavailable_store_fails_all_that_wait_each_with_an_error_of_its_own() -> None:
    async def scenario() -> None:
        called = asyncio.Event()
        proceed = asyncio.Event()

        async def execute(_items: Sequence[int]) -> Sequence[int]:
            called.set()
            await proceed.wait()
            raise StoreUnavailableError("away")

        batcher: Batcher[int, int] = Batcher(execute)
        futures = [batcher.submit(1)]
        await called.wait()
        futures.append(batcher.submit(2))
        proceed.set()
        errors = await asyncio.gather(*futures, return_exceptions=True)
        assert [str(error) for error in errors] == ["away", "away"]
        assert errors[0] is not errors[1]

    asyncio.run(scenario())


def test_unexpected_error_hits_only_the_item_that_causes_it() -> None:
    async def scenario() -> None:
        async def execute(items: Sequence[int]) -> Sequence[int]:
            return [10 // item for item in items]

        batcher: Batcher[int, int] = Batcher(execute)
        futures = [batcher.submit(number) for number in (1, 0, 2)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert (answers[0], type(answers[1]), answers[2]) == (10, ZeroDivisionError, 5)

    asyncio.run(scenario())


def test_answer_that_is_an_error_is_raised() -> None:
    async def scenario() -> None:
        async def execute(items: Sequence[int]) -> Sequence[int | Exception]:
            return [KeyError(item) if item else item for item in items]

        batcher: Batcher[int, int] = Batcher(execute)
        good, bad = batcher.submit(0), batcher.submit(1)
        assert await good == 0
        with pytest.raises(KeyError):
            await bad

    asyncio.run(scenario())


def test_drain_waits_for_what_is_under_way() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher: Batcher[int, int] = Batcher(gate.execute)
        future = batcher.submit(1)
        asyncio.get_running_loop().call_soon(gate.open.set)
        await batcher.drain()
        assert future.result() == 2

    asyncio.run(scenario())
