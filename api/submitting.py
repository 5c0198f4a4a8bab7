"""POST /{task}: check the request, commit the job, answer 202."""

from datetime import UTC, datetime

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.accepting import JobWriter
from api.backlog import Backlog
from api.bodies import read_fields, read_json
from api.idempotency import Accepted, KeyedJob, check_key, fingerprint
from api.parameters import NO_OPTIONS, SubmitOptions, parse_submit_options
from api.rendering import render_accepted
from core.acceptance import NewJob, new_task_id
from core.registry import TaskSpec
from core.settings import Settings


class TaskRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response: nothing to inject, to validate or to serialise.

    This is the hot path. The endpoint checks the body itself, with the task's signature, and the path is compared as text.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare the path; there are no parameters in it."""
        if scope["type"] == "http" and scope["path"] == self.path:
            return super().matches(scope)
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the endpoint's own response."""
        if scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        response: Response = await self.endpoint(Request(scope, receive))
        await response(scope, receive, send)


class Submission:
    """The endpoint of one task."""

    def __init__(self, spec: TaskSpec, settings: Settings, writer: JobWriter, backlog: Backlog) -> None:
        self._spec = spec
        self._settings = settings
        self._writer = writer
        self._backlog = backlog

    async def submit(self, request: Request) -> Response:
        """Accept a job. Raises RequestError, StoreUnavailableError, BacklogFullError."""
        fields = read_fields(request.scope["headers"])
        query = request.scope["query_string"]
        options = parse_submit_options(query, self._settings, datetime.now(UTC)) if query else NO_OPTIONS
        raw_key = fields.get(b"idempotency-key")
        key = None if raw_key is None else check_key(raw_key.decode("latin-1"))
        body = await read_json(fields, request.receive, self._settings.body_limit_bytes)
        job = self._make_job(self._spec.signature.validate(body, self._settings), options)
        await self._backlog.admit()
        if key is None:
            await self._writer.accept(job)
            accepted = Accepted(job.task_id, is_replayed=False)
        else:
            keyed = KeyedJob(job, key, fingerprint(job.task, job.args, options.asked))
            accepted = await self._writer.accept_once(keyed)
        return self._answer(accepted)

    def _make_job(self, args: str, options: SubmitOptions) -> NewJob:
        return NewJob(
            task_id=new_task_id(),
            task=self._spec.name,
            queue=self._spec.queue,
            args=args,
            priority=self._spec.priority,
            max_attempts=self._spec.max_attempts,
            delay_s=options.delay_s,
            eta=options.eta,
        )

    def _answer(self, accepted: Accepted) -> Response:
        task_id = str(accepted.task_id)
        headers = {"location": f"/status/{task_id}"}
        if accepted.is_replayed:
            headers["idempotency-replayed"] = "true"
        return Response(render_accepted(task_id), 202, headers, "application/json")
