"""The outermost layer: which requests come in at all, and what happens when something unexpected does. Plain ASGI."""

import logging
import time
from collections.abc import Sequence
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.bodies import ClientGoneError, read_fields
from api.problems import error_response, internal_response
from core.errors import MalformedError, MisdirectedError, RequestError
from core.events import Event

ANY_HOST: Final = "*"
#: How many spellings of our own host (letter case, port) are remembered.
_KNOWN_LIMIT: Final = 64

log = structlog.get_logger()


class Boundary:
    """Refuses foreign hosts, turns unexpected errors into a plain 500, and writes the access log at DEBUG.

    The Host header is checked against DNS rebinding: a foreign page whose name was pointed at us sends its own name.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._allowed_hosts = frozenset(allowed_hosts)
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        began = time.perf_counter()

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, forward)
        except ClientGoneError:
            return
        except Exception:
            log.exception(Event.REQUEST_FAILED, method=scope["method"], path=scope["path"])
            if status:
                raise
            await internal_response(scope)(scope, receive, forward)
        if logging.root.isEnabledFor(logging.DEBUG):
            duration_ms = round((time.perf_counter() - began) * 1000, 2)
            log.debug(
                Event.REQUEST_ANSWERED, method=scope["method"], path=scope["path"], status=status, duration_ms=duration_ms
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # The server, which keeps its own scope, leaves out the body (RFC 9110, section 9.3.2).
            scope = {**scope, "method": "GET", "is_head": True}
        await self._app(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        try:
            host = read_fields(scope["headers"]).get(b"host")
            if host in self._known:
                return None
            self._check_host(host)
        except RequestError as error:
            return error_response(scope, error)
        return None

    def _check_host(self, host: bytes | None) -> None:
        if host is None:
            raise MalformedError("the Host header is missing (RFC 9112, section 3.2)")
        name = host_name(host.decode("latin-1"))
        if ANY_HOST not in self._allowed_hosts and name not in self._allowed_hosts:
            raise MisdirectedError("the Host header names a host that is not ours; ALLOWED_HOSTS lists those that are")
        if len(self._known) < _KNOWN_LIMIT:
            self._known.add(host)


def host_name(host: str) -> str:
    """Return the name in a Host header, in lower case and without the port; IPv6 addresses keep their brackets."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and (port.isdecimal() or not port) and not name.endswith(":") else host.lower()
