"""What every submission of one job does once the job is made: admit it, commit it, wait if that is preferred, answer."""

from collections.abc import Mapping
from typing import Final

from fastapi import Request, Response

from api.accepting import JobWriter
from api.backlog import Backlog
from api.idempotency import IN_HEADER, Accepted, KeyedJob, Place, check_key, fingerprint
from api.jobs import status_headers
from api.preferences import applied, preferred_wait_s
from api.reading import JobReader, StatusRow
from api.rendering import render_accepted, render_status
from api.waiting import Watch, wait_for_finish
from core.acceptance import NewJob
from core.errors import StoreUnavailableError
from core.settings import Settings

_JSON: Final = "application/json"

Fields = Mapping[bytes, bytes]


class Intake:
    """Accepts jobs one by one, for all endpoints that do."""

    def __init__(self, settings: Settings, writer: JobWriter, backlog: Backlog, reader: JobReader, watch: Watch) -> None:
        self._settings = settings
        self._writer = writer
        self._backlog = backlog
        self._reader = reader
        self._watch = watch

    async def accept(
        self,
        request: Request,
        fields: Fields,
        job: NewJob,
        asked: Mapping[str, str],
        *,
        key: str | None,
        key_place: Place = IN_HEADER,
    ) -> Response:
        """Return 202, or 200 if the job has finished while the client preferred to wait.

        asked: the options, for the fingerprint of key. Raises RequestError, StoreUnavailableError, BacklogFullError.
        """
        await self._backlog.admit()
        if key is None:
            await self._writer.accept(job)
            accepted = Accepted(job.task_id, is_replayed=False)
        else:
            mark = fingerprint(job.task, job.args, asked)
            accepted = await self._writer.accept_once(KeyedJob(job, key, mark, key_place))
        headers = {"location": f"/status/{accepted.task_id}"}
        if accepted.is_replayed:
            headers["idempotency-replayed"] = "true"
        if b"prefer" in fields:
            wait_s = preferred_wait_s(request.scope["headers"], self._settings.wait_limit_s)
            if wait_s:
                return await self._wait(request, accepted, wait_s, headers)
        return Response(render_accepted(str(accepted.task_id)), 202, headers, _JSON)

    async def _wait(self, request: Request, accepted: Accepted, wait_s: float, headers: dict[str, str]) -> Response:
        headers["preference-applied"] = applied(wait_s)
        row = await self._finished_row(request, accepted, wait_s)
        if row is None:
            return Response(render_accepted(str(accepted.task_id)), 202, headers, _JSON)
        headers["content-location"] = headers["location"]
        return Response(render_status(row), 200, headers | status_headers(row), _JSON)

    async def _finished_row(self, request: Request, accepted: Accepted, wait_s: float) -> StatusRow | None:
        """Return where the job stands if that is at its end. The job is accepted: a database that goes away is no error."""
        try:
            await wait_for_finish(self._watch, accepted.task_id, wait_s, request.receive)
            row = await self._reader.read_status(accepted.task_id)
        except StoreUnavailableError:
            return None
        return row if row is not None and row.is_finished else None


def read_key(fields: Fields) -> str | None:
    """Return the header Idempotency-Key. Raises InvalidArgumentsError."""
    raw_key = fields.get(b"idempotency-key")
    return None if raw_key is None else check_key(raw_key.decode("latin-1"))
