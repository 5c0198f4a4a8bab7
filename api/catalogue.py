"""GET /tasks and GET /tasks/{name}: what can run, and what it takes."""

import json
from hashlib import blake2b
from typing import Any, Final

from fastapi import Request, Response

from api.etags import entity_tag, has_tag
from api.parameters import parse_query
from core.registry import Registry, RetryRule, TaskSpec

_HEADERS: Final = {"cache-control": "no-cache"}


class CatalogueEndpoints:
    """Describes the registry. It does not change while the process lives, so its description is made once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._body = b""

    async def tasks(self, request: Request) -> Response:
        """Return all tasks, sorted by name."""
        parse_query(request.scope["query_string"], ())
        if not self._body:
            self._body = _encode({"tasks": [describe(spec) for _, spec in sorted(self._registry.specs.items())]})
        return _answer(request, self._body)

    async def task(self, request: Request) -> Response:
        """Return one task. Raises NotFoundError that suggests a similar name."""
        parse_query(request.scope["query_string"], ())
        return _answer(request, _encode(describe(self._registry.find(request.path_params["name"]))))


def describe(spec: TaskSpec) -> dict[str, Any]:
    """Return what a client may know of a task."""
    return {
        "name": spec.name,
        "route": spec.route,
        "doc": spec.doc,
        "queue": spec.queue,
        "priority": spec.priority,
        "max_attempts": spec.max_attempts,
        "retry": _describe_retry(spec.retry),
        "soft_time_limit_s": spec.soft_time_limit_s,
        "time_limit_s": spec.time_limit_s,
        "schema": spec.signature.json_schema,
    }


def _describe_retry(rule: RetryRule) -> dict[str, Any]:
    is_fixed = rule.delay_s is not None
    return {
        "exceptions": list(rule.exceptions),
        "not_exceptions": list(rule.not_exceptions),
        "delay_s": rule.delay_s,
        "backoff_base_s": None if is_fixed else rule.base_s,
        "backoff_cap_s": None if is_fixed else rule.cap_s,
    }


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _answer(request: Request, body: bytes) -> Response:
    tag = entity_tag(blake2b(body, digest_size=9).hexdigest())
    headers = {**_HEADERS, "etag": tag}
    if has_tag(request.scope["headers"], tag):
        return Response(None, 304, headers)
    return Response(body, 200, headers, "application/json")
