"""Pages of jobs, newest first. Each query goes by an index, whatever the filter, at any number of jobs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from api.reading import ListedRow, StatusRow
from api.store import Connection, Store
from core.acceptance import LOCAL_OWNER
from core.queries import load_query
from core.states import Status

PAGE: Final = load_query("api", "page")
PAGE_OF_TASK: Final = load_query("api", "page_of_task")
PAGE_OF_OUTCOME: Final = load_query("api", "page_of_outcome")
PAGE_OF_TASK_AND_OUTCOME: Final = load_query("api", "page_of_task_and_outcome")
WALK_UNFINISHED: Final = load_query("api", "walk_unfinished")
LISTED: Final = load_query("api", "listed")

#: One snapshot for all statements of a page; and a page changes nothing.
SNAPSHOT: Final = (r"default_transaction_isolation=repeatable\ read", "default_transaction_read_only=on")

#: A longer result is not in a page.
RESULT_LIMIT_BYTES: Final = 4096
#: A task_id's time is the api's when it took the request, created_at the database's when it stored the job.
CLOCK_SLACK: Final = timedelta(seconds=10)
#: Rows of live_jobs that a step of the walk passes: first, and at most; the walk ends when it has taken so long.
FIRST_STEPS: Final = 1000
STEPS_GROWTH: Final = 10
MOST_STEPS: Final = 100_000
WALK_S: Final = 1.0

_LEAST: Final = UUID(int=0)
_GREATEST: Final = UUID(int=(1 << 128) - 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which jobs: at most limit of those that fit, older than `before`. created_after and created_before are exclusive."""

    limit: int
    task: str | None = None
    status: Status | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    before: UUID | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first. `next`: what goes on does so with jobs older than this; None: there are no more."""

    rows: Sequence[ListedRow]
    next: UUID | None


class PageReader:
    """Lists the jobs of one owner."""

    def __init__(self, store: Store, owner: str = LOCAL_OWNER) -> None:
        """Store: with the settings BY_INDEX and SNAPSHOT."""
        self._store = store
        self._owner = owner

    async def read(self, request: PageRequest) -> Page:
        """Return a page. Raises StoreUnavailableError.

        One of unfinished jobs may have fewer rows than there are, even none, and a `next`: the search took too long.
        """
        query, parameters = self.query_of(request)
        if query is WALK_UNFINISHED:
            return await self._walk(parameters, request)

        async def select(connection: Connection) -> Page:
            async with connection.transaction():
                cursor = await connection.execute(query, parameters)
                found = [task_id for (task_id,) in await cursor.fetchall()]
                return await _page(connection, found, request.limit)

        return await self._store.run(select)

    def query_of(self, request: PageRequest) -> tuple[str, dict[str, Any]]:
        """Return the query that finds the jobs of a page, and its parameters."""
        parameters = self._parameters(request)
        if request.status is not None and not request.status.is_finished:
            return WALK_UNFINISHED, parameters | {"steps": FIRST_STEPS}
        query = {
            (False, False): PAGE,
            (True, False): PAGE_OF_TASK,
            (False, True): PAGE_OF_OUTCOME,
            (True, True): PAGE_OF_TASK_AND_OUTCOME,
        }[request.task is not None, request.status is not None]
        return query, parameters

    async def _walk(self, parameters: dict[str, Any], request: PageRequest) -> Page:
        """Search in steps, between which other pages have their turn."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + WALK_S
        found: list[UUID] = []
        while True:
            parameters["limit"] = request.limit + 1 - len(found)
            position, passed = await self._step(parameters, found)
            is_at_end = len(found) > request.limit or passed < parameters["steps"]
            if is_at_end or clock() >= ends_at:
                break
            parameters |= {"before": position, "steps": min(MOST_STEPS, parameters["steps"] * STEPS_GROWTH)}
        page = await self._store.run(lambda connection: _page(connection, found, request.limit))
        # What has gone on since it was found does not fit any more.
        rows = [row for row in page.rows if row.status.status == request.status]
        return Page(rows, page.next if is_at_end else position)

    async def _step(self, parameters: dict[str, Any], found: list[UUID]) -> tuple[UUID | None, int]:
        """Add what one step finds to found; return where the walk stands and how many rows it passed."""

        async def select(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(WALK_UNFINISHED, parameters)
            return await cursor.fetchall()

        *rows, (position, passed) = await self._store.run(select)
        found += [task_id for task_id, _ in rows]
        return position, passed

    def _parameters(self, request: PageRequest) -> dict[str, Any]:
        after, before = _LEAST, request.before or _GREATEST
        if request.created_after is not None:
            after = first_id(request.created_after, -CLOCK_SLACK)
        if request.created_before is not None:
            before = min(before, first_id(request.created_before, CLOCK_SLACK))
        return {
            "owner": self._owner,
            "task": request.task,
            "status": request.status,
            "after": after,
            "before": before,
            "created_after": "-infinity" if request.created_after is None else request.created_after.isoformat(),
            "created_before": "infinity" if request.created_before is None else request.created_before.isoformat(),
            "limit": request.limit + 1,
        }


def first_id(moment: datetime, slack: timedelta = timedelta(0)) -> UUID:
    """Return what no UUIDv7 of that moment or later is less than: its first 48 bits are milliseconds (RFC 9562, 5.7)."""
    milliseconds = (moment - _EPOCH + slack) // _MILLISECOND
    return UUID(int=min(max(milliseconds, 0), (1 << 48) - 1) << 80)


async def _page(connection: Connection, found: list[UUID], limit: int) -> Page:
    """Return the page of what was found: one more than the limit if there are more."""
    task_ids = found[:limit]
    cursor = await connection.execute(LISTED, {"task_ids": task_ids, "result_limit": RESULT_LIMIT_BYTES})
    rows = [ListedRow(StatusRow._make(row[:-1]), row[-1]) for row in await cursor.fetchall()]
    return Page(rows, task_ids[-1] if len(found) > limit else None)
