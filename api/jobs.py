"""GET /status/{task_id} and GET /jobs/{task_id}."""

import asyncio
import re
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive

from api.bodies import ClientGoneError
from api.parameters import parse_query, parse_wait_s
from api.reading import JobReader, StatusRow
from api.rendering import render_job, render_status
from api.waiting import FinishWatch
from core.errors import NotFoundError
from core.settings import Settings

_TASK_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHOWN_CHARS: Final = 64
_HEADERS: Final = {"cache-control": "no-store"}


class JobEndpoints:
    """Answers what became of a job."""

    def __init__(self, settings: Settings, reader: JobReader, watch: FinishWatch) -> None:
        self._settings = settings
        self._reader = reader
        self._watch = watch

    async def status(self, request: Request) -> Response:
        """Return where a job stands; with ?wait=N when it has finished, after N seconds at the latest."""
        wait_s = parse_wait_s(request.scope["query_string"], self._settings)
        task_id = parse_task_id(request.path_params["task_id"])
        row = await self._read(task_id)
        if wait_s and not row.is_finished:
            await self._wait(task_id, wait_s, request.receive)
            row = await self._read(task_id)
        return Response(render_status(row), 200, _HEADERS, "application/json")

    async def job(self, request: Request) -> Response:
        """Return a job with its arguments and its attempts."""
        parse_query(request.scope["query_string"], ())
        text = request.path_params["task_id"]
        record = await self._reader.read_job(parse_task_id(text))
        if record is None:
            raise _no_job(text)
        return Response(render_job(record), 200, _HEADERS, "application/json")

    async def _read(self, task_id: UUID) -> StatusRow:
        row = await self._reader.read_status(task_id)
        if row is None:
            raise _no_job(str(task_id))
        return row

    async def _wait(self, task_id: UUID, wait_s: float, receive: Receive) -> None:
        """Return when the job has finished or after wait_s. Raises StoreUnavailableError, ClientGoneError."""
        async with self._watch.finish_of(task_id) as finish:
            gone = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait({finish, gone}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if finish.done():
                finish.result()
            elif gone.done():
                raise ClientGoneError


def parse_task_id(text: str) -> UUID:
    """Return the id. Raises NotFoundError, as for an unknown one, if it is none: the caller cannot tell them apart."""
    if not _TASK_ID.fullmatch(text):
        raise _no_job(text)
    return UUID(text)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _no_job(text: str) -> NotFoundError:
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
    return NotFoundError(f"no job {shown!r}; it was never accepted, or it has been deleted at the end of its retention")
