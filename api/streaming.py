"""GET /jobs/{task_id}/events: each change of a job as it happens (HTML Living Standard, "Server-sent events")."""

import asyncio
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from api.bodies import Headers
from api.etags import version
from api.jobs import parse_task_id, read_or_404
from api.parameters import parse_query
from api.reading import JobReader, StatusRow
from api.rendering import render_status
from api.waiting import Watch, until_gone
from core.errors import StoreUnavailableError

#: Something is sent at least this often, so that proxies do not take the connection for dead.
HEARTBEAT_S: Final = 15.0
#: Pause after a read that failed, which has itself lasted as long as the database may take.
RETRY_S: Final = 0.2
#: What a client waits before it connects anew, unless it knows better.
RECONNECT_MS: Final = 1000

_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_HEARTBEAT: Final = b":\n\n"


class StreamEndpoints:
    """Opens streams."""

    def __init__(self, reader: JobReader, watch: Watch) -> None:
        self._reader = reader
        self._watch = watch

    async def events(self, request: Request) -> Response:
        """Return the stream of a job. Raises NotFoundError, StoreUnavailableError.

        A client that has seen a finished job's last state gets 204, which tells browsers not to connect again.
        """
        parse_query(request.scope["query_string"], ())
        task_id = parse_task_id(request.path_params["task_id"])
        row = await read_or_404(self._reader, task_id)
        if row.is_finished and _last_event_id(request.scope["headers"]) == version(row):
            return Response(None, 204, {"cache-control": "no-store"})
        return EventStream(task_id, row, self._reader, self._watch)


class EventStream(Response):
    """The events of one job, until it has finished, the client is gone, or the service stops.

    The first event is the present state; an event's id is the version that is also the status's entity tag. While the
    database is away there are only heartbeats: a client that was refused meanwhile would not come back by itself.
    """

    media_type = "text/event-stream"

    def __init__(self, task_id: UUID, row: StatusRow, reader: JobReader, watch: Watch) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]
        self._task_id = task_id
        self._row = row
        self._reader = reader
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if not scope.get("is_head"):
            gone = asyncio.create_task(until_gone(receive))
            try:
                await self._send_events(send, gone)
            finally:
                gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: Send, gone: asyncio.Task[None]) -> None:
        await _send_part(send, f"retry: {RECONNECT_MS}\n".encode() + render_event(self._row))
        async with self._watch.changes_of(self._task_id) as changed:
            sent = version(self._row)
            while not self._row.is_finished:
                if not await _next_change(changed, gone):
                    await _send_part(send, _HEARTBEAT)
                if gone.done() or self._watch.is_released:
                    return
                changed.clear()
                try:
                    row = await self._reader.read_status(self._task_id)
                except StoreUnavailableError:
                    changed.set()  # the change has been told, and will not be told again
                    await asyncio.sleep(RETRY_S)
                    continue
                if row is None:
                    return
                self._row = row
                if version(row) != sent:
                    sent = version(row)
                    await _send_part(send, render_event(row))


def render_event(row: StatusRow) -> bytes:
    """Return the event of a state: its version and the body of GET /status."""
    # A result is as the task gave it: white space in it may be line ends, each of which begins a line of data anew.
    lines = render_status(row).splitlines()
    return b"".join([b"id: ", version(row).encode("ascii"), b"\n", *(b"data: " + line + b"\n" for line in lines), b"\n"])


async def _next_change(changed: asyncio.Event, gone: asyncio.Task[None]) -> bool:
    """Wait for a change, the end of the connection, or HEARTBEAT_S; tell whether one of the first two came."""
    change = asyncio.create_task(changed.wait())
    try:
        done, _ = await asyncio.wait({change, gone}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
    return bool(done)


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _last_event_id(headers: Headers) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == b"last-event-id"), "")
