"""GET /status/{task_id} and GET /jobs/{task_id}."""

import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from fastapi import Request, Response

from api.etags import entity_tag, has_tag, version
from api.parameters import parse_query, parse_wait_s
from api.reading import JobReader, StatusRow
from api.rendering import render_job, render_status
from api.waiting import Watch, wait_for_finish
from core.errors import NotFoundError
from core.settings import Settings

_TASK_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHOWN_CHARS: Final = 64
#: May be kept, and must be asked for each time; by the client alone.
_CACHING: Final = "private, no-cache"


class JobEndpoints:
    """Answers what became of a job."""

    def __init__(self, settings: Settings, reader: JobReader, watch: Watch) -> None:
        self._settings = settings
        self._reader = reader
        self._watch = watch

    async def status(self, request: Request) -> Response:
        """Return where a job stands; with ?wait=N when it has finished, after N seconds at the latest."""
        wait_s = parse_wait_s(request.scope["query_string"], self._settings)
        task_id = parse_task_id(request.path_params["task_id"])
        row = await read_or_404(self._reader, task_id)
        if wait_s and not row.is_finished:
            await wait_for_finish(self._watch, task_id, wait_s, request.receive)
            row = await read_or_404(self._reader, task_id)
        return _answer(request, row, lambda: render_status(row))

    async def job(self, request: Request) -> Response:
        """Return a job with its arguments and its attempts."""
        parse_query(request.scope["query_string"], ())
        text = request.path_params["task_id"]
        record = await self._reader.read_job(parse_task_id(text))
        if record is None:
            raise no_job(text)
        return _answer(request, record.status, lambda: render_job(record))


async def read_or_404(reader: JobReader, task_id: UUID) -> StatusRow:
    """Return where the job stands. Raises NotFoundError, StoreUnavailableError."""
    row = await reader.read_status(task_id)
    if row is None:
        raise no_job(str(task_id))
    return row


def parse_task_id(text: str) -> UUID:
    """Return the id. Raises NotFoundError, as for an unknown one, if it is none: the caller cannot tell them apart."""
    if not _TASK_ID.fullmatch(text):
        raise no_job(text)
    return UUID(text)


def no_job(text: str) -> NotFoundError:
    """Return the error for a job that is not there, or not the caller's."""
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
    return NotFoundError(f"no job {shown!r}; it was never accepted, or it has been deleted at the end of its retention")


def status_headers(row: StatusRow) -> dict[str, str]:
    """Return the fields that go with where a job stands."""
    return {"cache-control": _CACHING, "etag": entity_tag(version(row))}


def _answer(request: Request, row: StatusRow, render: Callable[[], bytes]) -> Response:
    headers = status_headers(row)
    if has_tag(request.scope["headers"], headers["etag"]):
        return Response(None, 304, headers)
    return Response(render(), 200, headers, "application/json")
