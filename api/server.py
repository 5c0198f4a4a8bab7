"""The HTTP server: uvicorn, with limits on how slowly and how largely a request may come in, and a graceful end."""

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.problems import MEDIA_TYPE
from core.events import Event

#: Seconds within which a request has to be here.
ARRIVAL_LIMIT_S: Final = 10.0
HEAD_LIMIT_BYTES: Final = 64 * 1024
KEEP_ALIVE_S: Final = 30
#: Longer than any request takes that does not wait for a job: the database's budget and some.
GRACE_S: Final = 4
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log = structlog.get_logger()


class BoundedProtocol(HttpToolsProtocol):
    """Ends requests that do not come in, for which uvicorn itself waits without a limit.

    A request, head and body, has ARRIVAL_LIMIT_S, and its head HEAD_LIMIT_BYTES. What comes in one piece, as nearly all
    requests do, costs no timer.
    """

    _timer: asyncio.TimerHandle | None = None
    _is_arriving = True
    _is_in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take data; time what is still incomplete. Blank lines between requests count: they end uvicorn's keep-alive."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
                self._refuse(400, "malformed", f"the request head is larger than {HEAD_LIMIT_BYTES} bytes")
        if self._is_arriving or self.cycle.response_complete:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_arriving = self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here; the application begins."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here."""
        self._is_arriving = False
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "malformed", msg)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(ARRIVAL_LIMIT_S, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        is_idle = self._is_in_head and not self._head_bytes
        if is_idle or self.pipeline or (self.cycle is not None and self.cycle.response_started and not self._is_in_head):
            self.transport.close()
            return
        if self.cycle is not None:
            # The application, which waits for the body, learns that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refuse(408, "request_timeout", f"the request did not arrive within {ARRIVAL_LIMIT_S:g} s")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
        }
        body = json.dumps({**problem, "instance": ""}).encode()
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode("ascii") + body)
        self.transport.close()


class ApiServer(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, and then ends as asked: with exit code 0, once what is under way is answered."""

    def __init__(self, app: ASGIApp, release: Callable[[], None]) -> None:
        """release lets those go who wait for jobs, so that they need not be waited for."""
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._release = release

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for listener in sockets or ():
            log.info(Event.API_STARTED, url=_url(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and stop."""
        self._release()
        await super().shutdown(sockets)
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


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError, with the address in its message."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=2048)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
