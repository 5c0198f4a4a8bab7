"""POST /{task}: check the request, commit the job, answer 202."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.bodies import read_fields, read_json
from api.intake import Intake, read_key
from api.parameters import NO_OPTIONS, SubmitOptions, parse_submit_options
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


class OwnRoute(TaskRoute):
    """A route that has its path for itself: with another method it is 405, though a path with a parameter would match."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare the path alone."""
        match, child_scope = super().matches(scope)
        return Match.NONE if match is Match.NONE else Match.FULL, child_scope


class Submission:
    """The endpoint of one task."""

    def __init__(self, spec: TaskSpec, settings: Settings, intake: Intake) -> None:
        self._spec = spec
        self._settings = settings
        self._intake = intake

    async def submit(self, request: Request) -> Response:
        """Accept a job. Raises RequestError, StoreUnavailableError, BacklogFullError."""
        fields = read_fields(request.scope["headers"])
        query = request.scope["query_string"]
        options = parse_submit_options(query, self._settings, datetime.now(UTC)) if query else NO_OPTIONS
        key = read_key(fields)
        body = await read_json(fields, request.receive, self._settings.body_limit_bytes)
        args = self._spec.signature.validate(body, self._settings)
        job = make_job(self._spec, new_task_id(), args, options)
        return await self._intake.accept(request, fields, job, options.asked, key=key)


def make_job(spec: TaskSpec, task_id: UUID, args: str, options: SubmitOptions) -> NewJob:
    """Return the job of a task with checked arguments."""
    return NewJob(
        task_id=task_id,
        task=spec.name,
        queue=spec.queue,
        args=args,
        priority=spec.priority if options.priority is None else options.priority,
        max_attempts=spec.max_attempts,
        delay_s=options.delay_s,
        eta=options.eta,
        expires_s=options.expires_s,
    )
