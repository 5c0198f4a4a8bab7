"""Reading where jobs stand: all reads that arrive together share one query."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from api.batching import Batcher
from api.store import Connection, Store
from core.acceptance import LOCAL_OWNER
from core.queries import load_query

STATUS: Final = load_query("core", "status")
JOB: Final = load_query("api", "job")


class StatusRow(NamedTuple):
    """Where a job stands, in the order of core/queries/status.sql. result, error and progress are JSON text."""

    task_id: UUID
    task: str
    owner: str
    status: str
    result: str | None
    error: str | None
    attempts: int
    max_attempts: int | None
    progress: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """A finished job never changes again."""
        return self.finished_at is not None


class Attempt(NamedTuple):
    """One try of a job; the one that runs has neither end nor outcome. error is JSON text."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None
    traceback: str | None


class JobRecord(NamedTuple):
    """A job with its history. args is JSON text, as it was accepted."""

    status: StatusRow
    args: str
    queue: str
    priority: int
    parent_id: UUID | None
    retry_of: UUID | None
    attempts: tuple[Attempt, ...]


class ListedRow(NamedTuple):
    """Where a job stands, in a list: a long result is left out there."""

    status: StatusRow
    is_omitted: bool


class JobReader:
    """Reads jobs of one owner; what belongs to another is not there."""

    def __init__(self, store: Store, owner: str = LOCAL_OWNER) -> None:
        self._owner = owner
        self._store = store
        self._batcher: Batcher[UUID, StatusRow | None] = Batcher(self._read_statuses)

    async def read_status(self, task_id: UUID) -> StatusRow | None:
        """Return where the job stands, or None. Raises StoreUnavailableError."""
        return await self._batcher.submit(task_id)

    async def read_job(self, task_id: UUID) -> JobRecord | None:
        """Return the job with its attempts, one snapshot, or None. Raises StoreUnavailableError."""

        async def select(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(JOB, {"task_id": task_id})
            return await cursor.fetchall()

        rows = await self._store.run(select)
        return _record(rows) if rows and rows[0][2] == self._owner else None

    async def drain(self) -> None:
        """Finish what is under way."""
        await self._batcher.drain()

    async def _read_statuses(self, task_ids: Sequence[UUID]) -> Sequence[StatusRow | None]:
        unique = list(dict.fromkeys(task_ids))

        async def select(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(STATUS, {"task_ids": unique})
            return await cursor.fetchall()

        rows = {row[0]: StatusRow._make(row) for row in await self._store.run(select)}
        found = (rows.get(task_id) for task_id in task_ids)
        return [row if row is not None and row.owner == self._owner else None for row in found]


def _record(rows: Sequence[tuple[Any, ...]]) -> JobRecord:
    """Return the record of JOB's rows: the same job on each, one attempt on each, or none at all."""
    width = len(StatusRow._fields)
    first = rows[0]
    args, queue, priority, parent_id, retry_of = first[width : width + 5]
    attempts = tuple(Attempt._make(row[width + 5 :]) for row in rows if row[width + 5] is not None)
    return JobRecord(StatusRow._make(first[:width]), args, queue, priority, parent_id, retry_of, attempts)
