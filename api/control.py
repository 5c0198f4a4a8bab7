"""POST /jobs/{task_id}/cancel and /retry."""

from typing import Any, Final
from uuid import UUID

import structlog
from fastapi import Request, Response

from api.bodies import read_fields, read_json
from api.intake import Intake, read_key
from api.jobs import no_job, parse_task_id, read_or_404, status_headers
from api.json_cutter import JsonCutter
from api.parameters import parse_query
from api.reading import JobReader
from api.rendering import render_cancelling, render_status
from api.store import Connection, Store
from core.acceptance import LOCAL_OWNER, NewJob, new_task_id
from core.errors import ConflictError, FieldError, InvalidArgumentsError
from core.events import Event
from core.queries import load_query
from core.registry import Registry
from core.states import Status
from core.strict_json import decode, shorten

CANCEL: Final = load_query("api", "cancel")
RERUN: Final = load_query("api", "rerun")

#: Nothing is said in the body; what it may be at most.
BODY_LIMIT_BYTES: Final = 1024

log = structlog.get_logger()


class ControlEndpoints:
    """Ends jobs, and runs ended ones again, for one owner."""

    def __init__(
        self, registry: Registry, store: Store, reader: JobReader, intake: Intake, owner: str = LOCAL_OWNER
    ) -> None:
        self._registry = registry
        self._store = store
        self._reader = reader
        self._intake = intake
        self._owner = owner

    async def cancel(self, request: Request) -> Response:
        """Cancel a job that is not finished. Raises ConflictError, NotFoundError, StoreUnavailableError."""
        task_id = parse_task_id(request.path_params["task_id"])
        await _read_nothing(request)
        status = await self._cancel(task_id)
        if status is Status.STARTED:
            return Response(render_cancelling(str(task_id)), 202, {"location": f"/status/{task_id}"}, "application/json")
        row = await read_or_404(self._reader, task_id)
        if status is None:
            raise ConflictError(f"job {task_id} is finished ({row.status}) and never changes")
        return Response(render_status(row), 200, status_headers(row), "application/json")

    async def retry(self, request: Request) -> Response:
        """Run a failed or revoked job again, as a new one. Raises ConflictError, NotFoundError, StoreUnavailableError."""
        task_id = parse_task_id(request.path_params["task_id"])
        fields = await _read_nothing(request)
        key = read_key(fields)
        job = await self._make_again(task_id)
        return await self._intake.accept(request, fields, job, {"retry_of": str(task_id)}, key=key)

    async def _cancel(self, task_id: UUID) -> Status | None:
        """Return where the job stands by what was done: STARTED, REVOKED; None if nothing was there to do."""
        tries = 0

        async def execute(connection: Connection) -> Status | None:
            nonlocal tries
            tries += 1
            cursor = await connection.execute(CANCEL, {"task_id": task_id, "owner": self._owner})
            row = await cursor.fetchone()
            return Status(row[0]) if row else None

        status = await self._store.run(execute)
        if status is None and tries > 1 and await self._is_revoked(task_id):
            # The connection was lost after the first try had done it.
            status = Status.REVOKED
        if status is not None:
            log.info(Event.JOB_CANCELLED, task_id=str(task_id), status=status)
        return status

    async def _is_revoked(self, task_id: UUID) -> bool:
        row = await self._reader.read_status(task_id)
        return row is not None and row.status == Status.REVOKED

    async def _make_again(self, task_id: UUID) -> NewJob:
        async def select(connection: Connection) -> tuple[Any, ...] | None:
            cursor = await connection.execute(RERUN, {"task_id": task_id, "owner": self._owner})
            return await cursor.fetchone()

        row = await self._store.run(select)
        if row is None:
            raise no_job(str(task_id))
        task, queue, args, priority, links, max_attempts, status = row
        if status not in (Status.FAILURE, Status.REVOKED):
            raise ConflictError(
                f"job {task_id} is {status or 'not finished'}; only one that is FAILURE or REVOKED can be run again"
            )
        self._check_served(task_id, task, args)
        return NewJob(
            task_id=new_task_id(),
            task=task,
            queue=queue,
            args=args,
            owner=self._owner,
            priority=priority,
            links=links,
            max_attempts=max_attempts,
            retry_of=task_id,
        )

    def _check_served(self, task_id: UUID, task: str, args: str) -> None:
        """Raise ConflictError if the code has changed so that the job could not run."""
        spec = self._registry.specs.get(task)
        if spec is None:
            raise ConflictError(f"job {task_id} cannot be run again: its task {task!r} is not served any more")
        try:
            spec.signature.to_kwargs(args)
        except InvalidArgumentsError as error:
            raise ConflictError(f"job {task_id} cannot be run again: its task has changed: {error}") from None


async def _read_nothing(request: Request) -> dict[bytes, bytes]:
    """Return the header fields of a POST that says all in its path; its body is absent, empty or {}."""
    fields = read_fields(request.scope["headers"])
    parse_query(request.scope["query_string"], ())
    text = decode(await read_json(fields, request.receive, BODY_LIMIT_BYTES))
    if text.strip(" \t\r\n"):
        cutter = JsonCutter(text, BODY_LIMIT_BYTES)
        name = cutter.next_member() if cutter.enter("{") else ""
        if name is not None:
            loc = ("body", shorten(name)) if name else ("body",)
            message = "nothing can be said in the body here; leave it out, or send {}"
            raise InvalidArgumentsError(message, [FieldError(loc, message, "extra_forbidden")])
        cutter.finish()
    return fields
