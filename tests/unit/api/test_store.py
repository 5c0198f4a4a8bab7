"""api.store against a server that accepts connections and never answers."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.store import BUDGET_S, Connection, Store
from core.errors import StoreUnavailableError
from tests.api_rig import make_settings


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def make_store(listener: socket.socket) -> Store:
    return Store(make_settings(f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/none"), "test")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count_sockets() -> int:
    return sum(entry.is_socket() for entry in Path(f"/proc/{os.getpid()}/fd").iterdir())


async def do_nothing(_connection: Connection) -> None:
    return


def test_budget_holds_and_no_socket_stays_open(silent: socket.socket) -> None:
    async def scenario() -> None:
        store = make_store(silent)
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailableError, match="cannot test"):
            await store.run(do_nothing)
        assert asyncio.get_running_loop().time() - began < BUDGET_S + 1.5
        await store.close()

    with no_garbage_collection():
        before = count_sockets()
        asyncio.run(scenario())
        assert count_sockets() == before


def test_close_does_not_wait_for_a_connection(silent: socket.socket) -> None:
    async def scenario() -> None:
        store = make_store(silent)
        warming = asyncio.create_task(store.warm_up())
        client, _ = await asyncio.get_running_loop().sock_accept(silent)
        warming.cancel()
        async with asyncio.timeout(1.0):
            await store.close()
        client.close()

    asyncio.run(scenario())
