"""What the OpenAPI description says of parameters, headers and good answers."""

from typing import Any, Final

from api.idempotency import KEY_LIMIT_CHARS
from api.listing import DEFAULT_LIMIT, LONGEST_PAGE, NAME_LIMIT_CHARS
from api.parameters import HIGHEST_PRIORITY, expiry_limit_s
from api.schemas import AcceptedBatch, AcceptedJob, CancelledSoon, JobStatus
from core.registry import Registry
from core.settings import Settings
from core.states import Status

Description = dict[str, Any]
Responses = dict[int | str, Description]

KEY_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": KEY_LIMIT_CHARS,
    "pattern": "^[!-~]([ -~]*[!-~])?$",
}
TASK_ID: Final = {"name": "task_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
TASK_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Celery's name, or the route's",
    "schema": {"type": "string"},
    "example": "add",
}
KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request gives the same job, from any replica, for a day",
    "schema": KEY_SCHEMA,
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an earlier answer: 304 if nothing has changed. With ?wait=N it is compared after the wait",
    "schema": {"type": "string"},
}
LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event seen, as browsers send it when they connect again",
    "schema": {"type": "string"},
}
_LOCATION: Final = {"description": "Where its status is", "schema": {"type": "string"}, "required": True}
_REPLAYED: Final = {
    "description": "An earlier request with the same key made this",
    "schema": {"type": "string", "enum": ["true"]},
}
_APPLIED: Final = {"description": "The wait that was applied (RFC 7240)", "schema": {"type": "string"}}
_ETAG: Final = {"description": "Changes with the job", "schema": {"type": "string"}, "required": True}
_NOT_MODIFIED: Final[Description] = {"description": "As the ETag that If-None-Match names", "headers": {"ETag": _ETAG}}


def prefer(settings: Settings) -> Description:
    """Return the documentation of Prefer."""
    return {
        "name": "Prefer",
        "in": "header",
        "description": f"wait=N: answer when the job has finished, or after N s; {settings.wait_limit_s:.15g} s at most,"
        " more is as much. What is malformed or unknown is ignored (RFC 7240)",
        "schema": {"type": "string"},
        "example": "wait=10",
    }


def wait(settings: Settings) -> Description:
    """Return the documentation of ?wait=N."""
    return {
        "name": "wait",
        "in": "query",
        "description": "Seconds to wait for the finish; the answer comes as soon as the job is finished",
        "schema": {"type": "number", "minimum": 0, "maximum": settings.wait_limit_s, "default": 0},
    }


def option_parameters(settings: Settings) -> list[Description]:
    """Return the documentation of the options of a submission."""
    return [
        {
            "name": "delay_s",
            "in": "query",
            "description": "Not before so many seconds from now",
            "schema": {"type": "number", "minimum": 0, "maximum": settings.delay_limit_s},
        },
        {
            "name": "eta",
            "in": "query",
            "description": "Not before this moment: RFC 3339 with offset (+ is %2B in a URL). Not together with delay_s",
            "schema": {"type": "string", "format": "date-time"},
        },
        {
            "name": "priority",
            "in": "query",
            "description": "Among the jobs that wait, 9 is first and 0 last; without it, what the task says",
            "schema": {"type": "integer", "minimum": 0, "maximum": HIGHEST_PRIORITY},
        },
        {
            "name": "expires_s",
            "in": "query",
            "description": "If not started so many seconds from now, never: the job is REVOKED. Later than it is due",
            "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": expiry_limit_s(settings)},
        },
    ]


def list_parameters() -> list[Description]:
    """Return the documentation of the filters of GET /jobs."""
    schemas: dict[str, tuple[str, Description]] = {
        "task": (
            "Of this task: Celery's name, or the route's",
            {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT_CHARS},
        ),
        "status": ("That stand here", {"type": "string", "enum": list(Status)}),
        "created_after": ("Created later (RFC 3339 with offset)", {"type": "string", "format": "date-time"}),
        "created_before": ("Created earlier", {"type": "string", "format": "date-time"}),
        "limit": (
            "Most jobs of a page",
            {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": DEFAULT_LIMIT},
        ),
        "cursor": ("`next` of the page before", {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"}),
    }
    return [
        {"name": name, "in": "query", "description": description, "schema": schema}
        for name, (description, schema) in schemas.items()
    ]


def job_example(registry: Registry) -> Description:
    """Return a job that can be submitted as it is, if there is the task that ships with the service."""
    if "add" in registry.by_route:
        return {"task": "add", "args": {"x": 2, "y": 3}, "priority": 5}
    return {"task": next(iter(registry.by_route)), "args": {}}


def body(schema: Description, example: Any) -> Description:
    """Return the documentation of a request body."""
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def batch_body(job: Description, example: Description, settings: Settings) -> Description:
    """Return the documentation of the body of a batch; job is the schema of one."""
    jobs = {"type": "array", "items": job, "minItems": 1, "maxItems": settings.batch_limit}
    schema = {"type": "object", "properties": {"jobs": jobs}, "required": ["jobs"], "additionalProperties": False}
    return body(schema, {"jobs": [example, example]})


def submit_responses() -> Responses:
    """Return the documentation of the good answers to a submission, and where its task_id leads."""
    headers = {"Location": _LOCATION, "Idempotency-Replayed": _REPLAYED, "Preference-Applied": _APPLIED}
    return {
        200: {
            "model": JobStatus,
            "description": "Finished, while Prefer: wait=N was applied",
            "headers": {**headers, "ETag": _ETAG},
        },
        202: {"model": AcceptedJob, "description": "Committed. It will run.", "headers": headers, "links": job_links()},
    }


def job_links() -> Description:
    """Return where the task_id of an answer leads."""
    parameters = {"task_id": "$response.body#/task_id"}
    return {name: {"operationId": name, "parameters": parameters} for name in ("status", "job", "cancel", "retry")}


def batch_responses() -> Responses:
    """Return the documentation of the good answer to a batch."""
    description = "All committed. They will run. Ids in the order of the batch"
    return {202: {"model": AcceptedBatch, "description": description, "headers": {"Idempotency-Replayed": _REPLAYED}}}


def cancel_responses() -> Responses:
    """Return the documentation of the good answers to a cancellation."""
    return {
        200: {"model": JobStatus, "description": "REVOKED, at once and for good", "headers": {"ETag": _ETAG}},
        202: {"model": CancelledSoon, "description": "It runs, and is asked to stop", "headers": {"Location": _LOCATION}},
    }


def tagged_responses() -> Responses:
    """Return the documentation of what goes with an ETag."""
    return {200: {"headers": {"ETag": _ETAG}}, 304: _NOT_MODIFIED}


def list_responses() -> Responses:
    """Return the documentation of the Link to the next page."""
    link = {"description": 'The next page, as rel="next" (RFC 8288)', "schema": {"type": "string"}}
    return {200: {"headers": {"Link": link}}}


def stream_responses() -> Responses:
    """Return the documentation of the stream."""
    example = 'retry: 1000\nid: 5d41402abc4b2a76b9\ndata: {"task_id": "...", "status": "STARTED", "result": null}\n\n'
    description = (
        "The present state, then each change, as Server-Sent Events; the id is the ETag of the status, the data its body. A"
        " comment each 15 s. Ends when the job has finished"
    )
    return {
        # The schema says nothing: whether it is of the whole text or of each event, tools do not agree in OpenAPI 3.1.
        200: {"description": description, "content": {"text/event-stream": {"schema": {}, "example": example}}},
        204: {"description": "Finished, and Last-Event-ID names the last state: there is nothing to come"},
    }
