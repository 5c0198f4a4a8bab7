"""HTTP/1.1 on a connection: uvicorn's protocol, with limits, problems instead of text, and without HTTP/2 by Upgrade."""

import asyncio
import json
from http import HTTPStatus
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.problems import MEDIA_TYPE

#: Seconds within which a request has to be here.
ARRIVAL_LIMIT_S: Final = 10.0
HEAD_LIMIT_BYTES: Final = 64 * 1024

#: What a client says when it would rather speak another protocol (RFC 9110, section 7.8).
_UPGRADE_FIELDS: Final = (b"connection", b"upgrade", b"http2-settings")


class BoundedProtocol(HttpToolsProtocol):
    """Ends requests that do not come in, and serves those that offer another protocol; uvicorn does neither.

    A request, head and body, has ARRIVAL_LIMIT_S, and its head HEAD_LIMIT_BYTES. What comes in one piece, as nearly all
    requests do, costs no timer. Clients that offer HTTP/2 by Upgrade (Java's, by default) are served in HTTP/1.1: the
    parser stops after such a head, and uvicorn would take the request without its body.
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
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except (HttpParserError, HttpParserUpgrade):
            self._refuse(400, "malformed", "the request is not HTTP/1.1 as RFC 9112 has it")
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._refuse(400, "malformed", f"the request head is larger than {HEAD_LIMIT_BYTES} bytes")
                return
        if self._is_arriving or self.cycle.response_complete:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_arriving = self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here; the application begins."""
        if self.parser.should_upgrade():
            return
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here."""
        if self.parser.should_upgrade():
            return
        self._is_arriving = False
        self._stop_timer()
        super().on_message_complete()

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
        body = json.dumps({**problem, "instance": ""}, separators=(",", ":")).encode()
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode("ascii") + body)
        self.transport.close()
