"""Committing a batch of jobs: several statements, one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeVar
from uuid import UUID

import structlog

from api.idempotency import KeyedJob, accept_new, claim_keys, judge
from api.store import Connection, Store
from core.acceptance import NewJob, new_task_id
from core.events import Event

#: Ids of one batch differ in these last bits of a UUIDv7, which are random otherwise: room for 16,384.
INDEX_BITS: Final = 14

Result = TypeVar("Result")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchIds:
    """The ids of a batch: UUIDv7 that follow each other, so that the first one and their number say them all."""

    first: UUID

    @classmethod
    def new(cls) -> Self:
        """Return new ids."""
        return cls(UUID(int=new_task_id().int >> INDEX_BITS << INDEX_BITS))

    def __getitem__(self, index: int) -> UUID:
        return UUID(int=self.first.int + index)

    def take(self, count: int) -> list[UUID]:
        """Return so many."""
        return [self[index] for index in range(count)]


class BatchWriter:
    """Commits one batch at a time; a batch that is under way is finished whatever becomes of its request.

    Each method returns after the commit. Raises StoreUnavailableError; the batch is then accepted or not, nobody knows.
    """

    def __init__(self, store: Store, ttl_s: float) -> None:
        """Keys are remembered for ttl_s."""
        self._store = store
        self._ttl_s = ttl_s
        self._under_way: set[asyncio.Task[None]] = set()

    async def accept(self, jobs: Sequence[NewJob]) -> None:
        """Accept all jobs."""

        async def insert(connection: Connection) -> None:
            async with connection.transaction():
                await accept_new(connection, jobs)

        await self._finish(insert)
        _log_accepted(jobs)

    async def accept_as_one(
        self, jobs: Sequence[NewJob], ids: BatchIds, key: str, fingerprint: str
    ) -> tuple[list[UUID], bool]:
        """Accept all jobs, whose ids are the first of ids, unless an earlier batch owns the key.

        Return the ids, and whether they are the earlier batch's. Raises IdempotencyMismatchError.
        """
        request = KeyedJob(jobs[0], key, fingerprint)

        async def insert(connection: Connection) -> UUID:
            async with connection.transaction():
                claims = await claim_keys(connection, {request.name: request}, self._ttl_s)
                accepted = judge(request, claims[request.name])
                if not accepted.is_replayed:
                    await accept_new(connection, jobs)
            return accepted.task_id

        first = await self._finish(insert)
        is_replayed = first != ids.first
        if not is_replayed:
            _log_accepted(jobs)
        return BatchIds(first).take(len(jobs)), is_replayed

    async def accept_each(self, jobs: Sequence[NewJob], requests: Sequence[KeyedJob]) -> tuple[list[UUID], bool]:
        """Accept all jobs but those whose key an earlier request owns; requests are the jobs with keys.

        Return the ids in the order of jobs, and whether all of them are earlier ones. Raises IdempotencyMismatchError.
        """
        firsts = {request.name: request for request in reversed(requests)}

        async def insert(connection: Connection) -> dict[UUID, UUID]:
            async with connection.transaction():
                claims = await claim_keys(connection, firsts, self._ttl_s)
                owners = {request.job.task_id: judge(request, claims[request.name]).task_id for request in requests}
                await accept_new(connection, [job for job in jobs if owners.get(job.task_id, job.task_id) == job.task_id])
            return owners

        owners = await self._finish(insert)
        task_ids = [owners.get(job.task_id, job.task_id) for job in jobs]
        new = [job for job, task_id in zip(jobs, task_ids, strict=True) if job.task_id == task_id]
        if new:
            _log_accepted(new)
        return task_ids, not new

    async def drain(self) -> None:
        """Finish what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _finish(self, insert: Callable[[Connection], Awaitable[Result]]) -> Result:
        task = asyncio.ensure_future(self._store.run(insert))
        self._under_way.add(task)  # type: ignore[arg-type]  # its result does not matter there
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)


def _log_accepted(jobs: Sequence[NewJob]) -> None:
    log.info(Event.JOBS_ACCEPTED, count=len(jobs), first_id=str(jobs[0].task_id), last_id=str(jobs[-1].task_id))
