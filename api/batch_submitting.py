"""POST /jobs/batch: thousands of jobs, all accepted in one commit, or none."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from fastapi import Request, Response

from api.backlog import Backlog
from api.batch_writer import BatchIds, BatchWriter
from api.bodies import BodyMemory, read_fields, read_json
from api.idempotency import KeyedJob, fingerprint
from api.intake import read_key
from api.job_requests import AskedJob, JobRequestReader, cut_members, refuse_malformed, refuse_member, relocated
from api.json_cutter import JsonCutter
from api.parameters import parse_query
from api.rendering import render_batch
from api.turns import Turn
from core.errors import InvalidArgumentsError, MalformedError
from core.settings import Settings
from core.strict_json import decode, shorten

#: Memory for batches while they arrive: sixteen of the greatest.
ARRIVING_LIMIT_BYTES: Final = 256 * 1024 * 1024
#: Wrong jobs are looked for until there are so many errors to show.
ERRORS_SHOWN: Final = 50


class BatchSubmission:
    """Accepts many jobs. It works in short turns: a batch must not hold up the other requests."""

    def __init__(self, reader: JobRequestReader, settings: Settings, writer: BatchWriter, backlog: Backlog) -> None:
        self._reader = reader
        self._settings = settings
        self._writer = writer
        self._backlog = backlog
        self._memory = BodyMemory(max(ARRIVING_LIMIT_BYTES, settings.batch_body_limit_bytes))

    async def submit_batch(self, request: Request) -> Response:
        """Accept a batch. Raises RequestError, StoreUnavailableError, BacklogFullError."""
        fields = read_fields(request.scope["headers"])
        parse_query(request.scope["query_string"], ())
        key = read_key(fields)
        text = decode(await read_json(fields, request.receive, self._settings.batch_body_limit_bytes, self._memory))
        turn, ids = Turn(), BatchIds.new()
        asked = await self.read(self._reader.cutter(text), ids, turn)
        if key is not None and any(item.key is not None for item in asked):
            message = "cannot be combined with the header Idempotency-Key; send one of them"
            raise refuse_member("idempotency_key", message)
        await self._backlog.admit(len(asked))
        task_ids, is_replayed = await self._accept(asked, ids, key, turn)
        await turn.offer()
        headers = {"idempotency-replayed": "true"} if is_replayed else {}
        return Response(render_batch(task_ids), 202, headers, "application/json")

    async def _accept(
        self, asked: Sequence[AskedJob], ids: BatchIds, key: str | None, turn: Turn
    ) -> tuple[Sequence[UUID], bool]:
        """Return the ids in the order of the batch, and whether earlier requests made all of these jobs."""
        jobs = [item.job for item in asked]
        if key is not None:
            return await self._writer.accept_as_one(jobs, ids, key, await _fingerprint_all(asked, turn))
        if all(item.key is None for item in asked):
            await self._writer.accept(jobs)
            return [job.task_id for job in jobs], False
        requests = []
        for index, item in enumerate(asked):
            await turn.offer()
            if item.key is not None:
                mark = fingerprint(item.job.task, item.job.args, item.asked)
                requests.append(KeyedJob(item.job, item.key, mark, ("body", "jobs", index, "idempotency_key")))
        return await self._writer.accept_each(jobs, requests)

    async def read(self, cutter: JsonCutter, ids: BatchIds, turn: Turn) -> list[AskedJob]:
        """Return the jobs of a body. Raises MalformedError, InvalidArgumentsError."""
        asked: list[AskedJob] | None = None
        is_batch = cutter.enter("{")
        while is_batch and (name := cutter.next_member()) is not None:
            if name != "jobs" or asked is not None:
                raise refuse_member(shorten(name), "is not known here; known, once: jobs", "extra_forbidden")
            is_batch = cutter.enter("[")
            asked = await self._read_jobs(cutter, ids, turn) if is_batch else None
        if not is_batch:
            refuse_malformed(cutter)
            raise self._wrong_size()
        cutter.finish()
        if not asked:
            raise self._wrong_size()
        return asked

    async def _read_jobs(self, cutter: JsonCutter, ids: BatchIds, turn: Turn) -> list[AskedJob]:
        now = datetime.now(UTC)
        asked: list[AskedJob] = []
        errors: list[InvalidArgumentsError] = []
        index = 0
        while cutter.next_element() and sum(len(error.errors) for error in errors) < ERRORS_SHOWN:
            await turn.offer()
            if index >= self._settings.batch_limit:
                raise self._wrong_size()
            try:
                members = cut_members(cutter)
            except InvalidArgumentsError as error:
                # Where the next job begins is not known.
                errors.append(_error_of_job(index, error))
                break
            try:
                asked.append(self._reader.make(members, ids[index], now))
            except InvalidArgumentsError as error:
                errors.append(_error_of_job(index, error))
            except MalformedError as error:
                raise MalformedError(f"job {index}: {error}") from None
            index += 1
        if errors:
            raise _refusal(errors)
        return asked

    def _wrong_size(self) -> InvalidArgumentsError:
        return refuse_member("jobs", f"must be an array of 1 to {self._settings.batch_limit} jobs")


async def _fingerprint_all(asked: Sequence[AskedJob], turn: Turn) -> str:
    """Return the SHA-256, in hexadecimal, of all jobs in their order."""
    whole = hashlib.sha256(b"batch")
    for item in asked:
        await turn.offer()
        whole.update(fingerprint(item.job.task, item.job.args, item.asked).encode("ascii"))
    return whole.hexdigest()


def _error_of_job(index: int, error: InvalidArgumentsError) -> InvalidArgumentsError:
    return relocated(error, ("jobs", index), f"job {index}: ")


def _refusal(errors: Sequence[InvalidArgumentsError]) -> InvalidArgumentsError:
    more = f"; {len(errors) - 1} more jobs are wrong" if len(errors) > 1 else ""
    return InvalidArgumentsError(
        f"{errors[0]}{more}; no job was accepted", [field for error in errors for field in error.errors][:ERRORS_SHOWN]
    )
