"""GET /jobs: newest first, in pages."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response

from api.pages import PageReader, PageRequest
from api.parameters import parse_moment, parse_query, refuse_query
from api.rendering import render_page
from core.registry import Registry
from core.states import Status

FILTERS: Final = ("task", "status", "created_after", "created_before", "limit", "cursor")
DEFAULT_LIMIT: Final = 50
LONGEST_PAGE: Final = 200
NAME_LIMIT_CHARS: Final = 255

_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{22}")


class ListEndpoints:
    """Lists jobs."""

    def __init__(self, registry: Registry, reader: PageReader) -> None:
        self._registry = registry
        self._reader = reader

    async def jobs(self, request: Request) -> Response:
        """Return a page of jobs. Raises InvalidArgumentsError, StoreUnavailableError."""
        query = request.scope["query_string"]
        page = await self._reader.read(self.parse(query))
        headers = {"cache-control": "no-store"}
        cursor = None if page.next is None else to_cursor(page.next)
        if cursor is not None:
            following = urlencode({**parse_query(query, FILTERS), "cursor": cursor})
            headers["link"] = f'</jobs?{following}>; rel="next"'
        return Response(render_page(page.rows, cursor), 200, headers, "application/json")

    def parse(self, query: bytes) -> PageRequest:
        """Return what a query string asks for. Raises InvalidArgumentsError."""
        values = parse_query(query, FILTERS)
        after, before = (
            parse_moment(name, values[name], refuse_query) if name in values else None
            for name in ("created_after", "created_before")
        )
        return PageRequest(
            limit=_parse_limit(values["limit"]) if "limit" in values else DEFAULT_LIMIT,
            task=self._parse_task(values["task"]) if "task" in values else None,
            status=_parse_status(values["status"]) if "status" in values else None,
            created_after=after,
            created_before=before,
            before=_parse_cursor(values["cursor"]) if "cursor" in values else None,
        )

    def _parse_task(self, name: str) -> str:
        """Return a task's Celery name. One that is not served may still have jobs."""
        if not 0 < len(name) <= NAME_LIMIT_CHARS or not name.isprintable():
            raise refuse_query("task", "must be a task's name; GET /tasks lists all")
        spec = self._registry.specs.get(name) or self._registry.by_route.get(name)
        return name if spec is None else spec.name


def to_cursor(task_id: UUID) -> str:
    """Return the cursor of the page that begins after a job."""
    return urlsafe_b64encode(task_id.bytes).rstrip(b"=").decode("ascii")


def _parse_cursor(text: str) -> UUID:
    try:
        if _CURSOR.fullmatch(text):
            return UUID(bytes=urlsafe_b64decode(f"{text}=="))
    except (binascii.Error, ValueError):
        pass
    raise refuse_query("cursor", "is none of ours; take `next` of the page before, or leave it out")


def _parse_limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= LONGEST_PAGE:
        raise refuse_query("limit", f"must be a whole number from 1 to {LONGEST_PAGE}")
    return int(text)


def _parse_status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise refuse_query("status", f"must be one of {', '.join(Status)}") from None
