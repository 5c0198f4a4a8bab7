"""Errors as the client sees them: application/problem+json (RFC 9457), made in this one place."""

import json
from collections.abc import Mapping, Set
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from core.errors import (
    BacklogFullError,
    FieldError,
    IdempotencyMismatchError,
    InvalidArgumentsError,
    NotFoundError,
    RequestError,
    TaskServiceError,
)
from core.registry import Registry

MEDIA_TYPE: Final = "application/problem+json"
PATH_LIMIT_CHARS: Final = 256

#: Seconds after which a client should try again.
RETRY_AFTER_S: Final = 1
BACKLOG_RETRY_AFTER_S: Final = 10

#: Longest path that is taken for a misspelt task.
NAME_LIMIT_CHARS: Final = 100


def problem_response(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return a problem. `type` is about:blank: the title says what the status means, and `code` is what to program by."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": _instance(scope),
        **members,
    }
    return Response(
        json.dumps(body, separators=(",", ":")),
        status,
        headers={"cache-control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def error_response(scope: Scope, error: TaskServiceError) -> Response:
    """Return the problem for an error of ours. An error that is not meant for clients says nothing about itself."""
    if isinstance(error, RequestError):
        members = {"errors": _fields(error)} if error.status == HTTPStatus.UNPROCESSABLE_ENTITY else {}
        return problem_response(scope, error.status, error.code, str(error), error.headers, **members)
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after_s = BACKLOG_RETRY_AFTER_S if isinstance(error, BacklogFullError) else RETRY_AFTER_S
        return problem_response(scope, error.status, error.code, str(error), {"Retry-After": str(retry_after_s)})
    return internal_response(scope)


def http_response(scope: Scope, error: HTTPException, registry: Registry, allowed: Set[str]) -> Response:
    """Return the answer to what the framework raises: no such route, or not by this method. OPTIONS gets what is allowed."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _wrong_method_response(scope, allowed)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem_response(scope, 404, "not_found", _explain_missing(scope["path"], registry))
    return problem_response(scope, error.status_code, "bad_request", str(error.detail))


def _wrong_method_response(scope: Scope, allowed: Set[str]) -> Response:
    methods = {*allowed, "OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    headers = {"Allow": ", ".join(sorted(methods))}
    if scope["method"] == "OPTIONS":
        return Response(status_code=204, headers=headers)
    detail = f"{scope['method']} is not allowed here; allowed: {headers['Allow']}"
    return problem_response(scope, 405, "method_not_allowed", detail, headers)


def _explain_missing(path: str, registry: Registry) -> str:
    name = path.removeprefix("/")
    if not 0 < len(name) <= NAME_LIMIT_CHARS or "/" in name or not name.isprintable():
        return "no such route; GET /docs lists all"
    try:
        spec = registry.find(name)
    except NotFoundError as error:
        return str(error)
    return f"no such route '/{name}'; POST /{spec.route} runs the task {spec.name}"


def internal_response(scope: Scope) -> Response:
    """Return the problem for an error that is ours alone; the log has the rest."""
    return problem_response(scope, 500, "internal", "an unexpected error; it has been logged")


def _fields(error: RequestError) -> list[dict[str, Any]]:
    fields: tuple[FieldError, ...] = ()
    if isinstance(error, InvalidArgumentsError):
        fields = error.errors
    elif isinstance(error, IdempotencyMismatchError):
        fields = (FieldError(error.loc, "belongs to another request", error.code),)
    return [{"loc": list(field.loc), "message": field.message, "type": field.type} for field in fields]


def _instance(scope: Scope) -> str:
    path = (scope.get("raw_path") or b"").decode("latin-1") or scope["path"]
    return path if len(path) <= PATH_LIMIT_CHARS else path[:PATH_LIMIT_CHARS] + "..."
