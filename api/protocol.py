"""HTTP/1.1 on a connection: uvicorn's protocol, with limits, problems instead of text, and without HTTP/2 by Upgrade."""

import asyncio
import json
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.problems import MEDIA_TYPE, RETRY_AFTER_S
from api.room import Room

#: Seconds within which a request has to be here, head and body.
ARRIVAL_LIMIT_S: Final = 10.0
#: Seconds that a connection is kept between two requests.
IDLE_LIMIT_S: Final = 30.0
#: Seconds within which a client has to take an answer; what the kernel's buffers hold, which is megabytes, counts as taken.
UNSENT_LIMIT_S: Final = 30.0
HEAD_LIMIT_BYTES: Final = 64 * 1024
#: Requests that may wait behind the one that is being answered; uvicorn takes as many as are sent.
PIPELINE_LIMIT: Final = 64

#: What a client says when it would rather speak another protocol (RFC 9110, section 7.8).
_UPGRADE_FIELDS: Final = (b"connection", b"upgrade", b"http2-settings")


class Stage(Enum):
    """How much of the newest request is here."""

    HEAD = auto()  # a part of its head, or nothing
    BODY = auto()
    WHOLE = auto()


#: Looked up several times a request, and as attributes of an Enum they are slow.
_HEAD, _BODY, _WHOLE = Stage


class BoundedProtocol(HttpToolsProtocol):
    """Bounds what a client can take: time, memory and connections; and serves those that offer another protocol.

    No request has a timer: the server calls check() for all connections twice a second. Clients that offer HTTP/2 by
    Upgrade (Java's, by default) are served in HTTP/1.1: the parser stops after such a head, and uvicorn would take the
    request without its body.
    """

    #: Since when the client has had to send something; None while it is our turn.
    waits_since: float | None = None
    _unsent_since: float | None = None
    _stage: Stage = _HEAD
    _head_bytes = 0
    #: What is being answered or was answered last. uvicorn's `cycle` is the newest, which may be queued behind it.
    _running: RequestResponseCycle | None = None

    def __init__(self, room: Room, **parts: Any) -> None:
        """Room is shared by all connections; parts are uvicorn's."""
        super().__init__(**parts)
        self._room = room

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if not self._room.admit(cast("set[BoundedProtocol]", self.connections)):
            self._refuse(503, "connections_full", "too many connections are open; try again")
        self.waits_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who answers that the client is gone; uvicorn tells the newest request alone."""
        if self._running is not None:
            _disconnect(self._running)
        super().connection_lost(exc)

    def check(self, now: float) -> None:
        """Close the connection if the client is late with its request, or does not take its answer."""
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since > UNSENT_LIMIT_S:
            self.transport.abort()
        if self.waits_since is not None and not self.transport.is_closing():
            limit_s = IDLE_LIMIT_S if self._stage is _WHOLE else ARRIVAL_LIMIT_S
            if now - self.waits_since > limit_s:
                self.end(408, "request_timeout", f"the request did not arrive within {ARRIVAL_LIMIT_S:g} s")

    def end(self, status: int, code: str, detail: str) -> None:
        """Close the connection; with a problem if a part of a request is here, and not yet answered."""
        if self._stage is _BODY or (self._stage is _HEAD and self._head_bytes):
            self._refuse(status, code, detail)
        else:
            self.transport.close()

    @property
    def is_known(self) -> bool:
        """Whether it has ever sent a request."""
        return self._running is not None

    def hang_up(self) -> None:
        """Close the connection at once if it is for the client to send or to take something."""
        if self.waits_since is not None or self.transport.get_write_buffer_size():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take data."""
        try:
            self._parse(data)
        except (HttpParserError, HttpParserUpgrade):
            self._refuse(400, "malformed", "the request is not HTTP/1.1 as RFC 9112 has it")
            return
        if self._stage is _HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._refuse(400, "malformed", f"the request head is larger than {HEAD_LIMIT_BYTES} bytes")

    def on_message_begin(self) -> None:
        """A head begins. Raises HttpParserError if too many requests wait."""
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise HttpParserError
        self._stage = _HEAD
        self._head_bytes = 0
        if self.waits_since is not None:
            self.waits_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here: the application begins; or the request is queued."""
        if self.parser.should_upgrade():
            return
        self._stage = _BODY
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_message_complete(self) -> None:
        """The request is here."""
        if self.parser.should_upgrade():
            return
        self._stage = _WHOLE
        self.waits_since = self.loop.time() if self.cycle.response_complete else None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it. In place of uvicorn's method, which sets a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._running, app = self.pipeline.pop()
            self._start_asgi_task(self._running, app)
            if self._stage is _BODY and not self.pipeline:
                self.waits_since = self.loop.time()
        elif self._stage is not _BODY:  # what is answered before it is here keeps its time
            self.waits_since = self.loop.time()
        self.flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        """Feed the parser; a head that offers another protocol is fed again without the offer."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
            lines = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
            lines += [name + b": " + value for name, value in self.headers if name not in _UPGRADE_FIELDS]
            self.parser = HttpRequestParser(self)
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]) + rest)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """End with a problem, unless the client would take it for the answer to another request."""
        if self._stage is _BODY and not self.pipeline:
            if self.cycle.response_started:
                self.transport.close()
                return
            # The application, which waits for the body, learns that the client is gone.
            _disconnect(self.cycle)
        elif self._running is not None and not self._running.response_complete:
            self._end_after_answers(self._running)
            return
        self._write_problem(status, code, detail)
        self.transport.close()

    def _end_after_answers(self, running: RequestResponseCycle) -> None:
        """Answer the requests that are here, and close."""
        if self._stage is _BODY:
            self.pipeline.popleft()
            self._stage = _WHOLE
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False
        self.flow.pause_reading()

    def _write_problem(self, status: int, code: str, detail: str) -> None:
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "instance": "",
        }
        body = json.dumps(problem, separators=(",", ":")).encode()
        retry_after = f"retry-after: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n{retry_after}connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode("ascii") + body)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """Tell the application that the client is gone."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()
