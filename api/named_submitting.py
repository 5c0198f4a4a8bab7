"""POST /jobs: a job of any task, named in the body."""

from datetime import UTC, datetime
from typing import Final

from fastapi import Request, Response

from api.bodies import read_fields, read_json
from api.idempotency import IN_HEADER
from api.intake import Intake, read_key
from api.job_requests import JobRequestReader, cut_members, refuse_member
from api.parameters import parse_query
from core.acceptance import new_task_id
from core.settings import Settings
from core.strict_json import decode

#: Room for what stands around the arguments, which may be as long as those of POST /{task}.
ENVELOPE_BYTES: Final = 8192


class NamedSubmission:
    """Accepts one job, like POST /{task}."""

    def __init__(self, reader: JobRequestReader, settings: Settings, intake: Intake) -> None:
        self._reader = reader
        self._settings = settings
        self._intake = intake

    async def submit_job(self, request: Request) -> Response:
        """Accept a job. Raises RequestError, StoreUnavailableError, BacklogFullError."""
        fields = read_fields(request.scope["headers"])
        parse_query(request.scope["query_string"], ())
        key = read_key(fields)
        body = await read_json(fields, request.receive, self._settings.body_limit_bytes + ENVELOPE_BYTES)
        cutter = self._reader.cutter(decode(body))
        members = cut_members(cutter)
        cutter.finish()
        asked = self._reader.make(members, new_task_id(), datetime.now(UTC))
        place = IN_HEADER
        if asked.key is not None:
            if key not in (None, asked.key):
                raise refuse_member("idempotency_key", "differs from the header Idempotency-Key; send one of them")
            key, place = asked.key, ("body", "idempotency_key")
        return await self._intake.accept(request, fields, asked.job, asked.asked, key=key, key_place=place)
