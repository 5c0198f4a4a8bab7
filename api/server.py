"""The HTTP server: uvicorn with our protocol, a look at all connections twice a second, and a graceful end."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from api.protocol import BoundedProtocol
from api.room import Room
from core.events import Event

#: How late a limit of time may be noticed.
CHECK_PAUSE_S: Final = 0.5
#: Longer than any request takes that does not wait for a job: the database's budget and some.
GRACE_S: Final = 4
#: What is left of it to clients that are to send or to take something; then the rest of the server ends in good order.
CLIENT_GRACE_S: Final = 2
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = structlog.get_logger()


class ApiServer(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, and then ends as asked: with exit code 0, once what is under way is answered."""

    def __init__(self, app: ASGIApp, release: Callable[[], None], connection_limit: int) -> None:
        """release lets those go who wait for jobs, so that they need not be waited for."""
        self._room = Room(connection_limit)
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(BoundedProtocol, self._room),  # type: ignore[arg-type]  # called, whatever it is
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._release = release
        self._checking: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._checking = asyncio.create_task(self._keep_checking())
        for listener in sockets or ():
            log.info(Event.API_STARTED, url=_url(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and stop."""
        self._release()
        if self._checking is not None:
            self._checking.cancel()
        timer = asyncio.get_running_loop().call_later(CLIENT_GRACE_S, self._hang_up)
        await super().shutdown(sockets)
        timer.cancel()
        log.info(Event.API_STOPPED)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals as the wish to stop; uvicorn would end the process by the signal afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    @property
    def _connections(self) -> list[BoundedProtocol]:
        return cast("list[BoundedProtocol]", list(self.server_state.connections))

    async def _keep_checking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_PAUSE_S)
            now = loop.time()
            for connection in self._connections:
                connection.check(now)
            self._room.report(now)

    def _hang_up(self) -> None:
        for connection in self._connections:
            connection.hang_up()


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError, with the address in its message."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=2048)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
