"""Every problem that the OpenAPI description promises, provoked once on every operation that promises it.

None needs a database but 409, which tests/integration/test_api_control.py has.
"""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from api.app import create_app
from api.openapi import TaskSchemas
from api.schemas import Problem
from core.registry import Registry
from tests.api_rig import RawResponse, RunningApi, make_registry, make_settings, request_bytes

SETTINGS = make_settings("postgresql://nobody@127.0.0.1:1/none", body_limit_bytes=1024, batch_body_limit_bytes=1024)
JSON = "Content-Type: application/json"
GOOD_BODIES = {
    "/add": b'{"x": 2, "y": 3}',
    "/upper_case": b'{"text": "a"}',
    "/order": b'{"lines": []}',
    "/jobs": b'{"task": "ping"}',
    "/jobs/batch": b'{"jobs": [{"task": "ping"}]}',
}
LONGER_THAN_ANY_BODY = 20_000


def promised() -> Iterator[tuple[str, str, int]]:
    """Yield method, path and status of each promised problem."""
    registry: Registry = make_registry()
    document = TaskSchemas().describe(create_app(SETTINGS, registry))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in map(int, operation["responses"]):
                if status >= 400 and status != 409:
                    yield method.upper(), path, status


def send(api: RunningApi, method: str, path: str, *headers: str, body: bytes | None = None, **options: str) -> RawResponse:
    target = path.replace("{task_id}", str(uuid4())).replace("{name}", "add") + options.pop("query", "")
    if method == "POST" and body is None:
        body, headers = GOOD_BODIES.get(path, b"{}"), (JSON, *headers)
    return api.send_raw(request_bytes(method, target, *headers, body=body or b"", **options))


def unclear(api: RunningApi, method: str, path: str) -> RawResponse:
    if method == "POST":
        return send(api, method, path, JSON, body=b"{")
    return send(api, method, path, "Host: localhost")


def missing(api: RunningApi, method: str, path: str) -> RawResponse:
    return send(api, method, path.replace("{task_id}", "1").replace("{name}", "none"))


def slow(api: RunningApi, method: str, path: str) -> RawResponse:
    return send(api, method, path, JSON, "Content-Length: 10", body=b"")


def large(api: RunningApi, method: str, path: str) -> RawResponse:
    return send(api, method, path, JSON, body=b" " * LONGER_THAN_ANY_BODY)


def foreign(api: RunningApi, method: str, path: str) -> RawResponse:
    return send(api, method, path, host="evil.example")


PROVOCATIONS: dict[int, Callable[[RunningApi, str, str], RawResponse]] = {
    400: unclear,
    404: missing,
    408: slow,
    413: large,
    415: lambda api, method, path: send(api, method, path, "Content-Type: text/plain", body=b"{}"),
    421: foreign,
    422: lambda api, method, path: send(api, method, path, query="?unknown=1"),
    503: send,
}


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """The api without a database, which it soon gives up, served for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.store.BUDGET_S", 0.2)
        patch.setattr("api.services.BATCH_BUDGET_S", 0.2)
        with RunningApi(SETTINGS) as api:
            yield api


@pytest.mark.parametrize(("method", "path", "status"), list(promised()), ids=str)
def test_promised_problem_is_what_comes(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch, method: str, path: str, status: int
) -> None:
    if status == 408:
        monkeypatch.setattr("api.protocol.ARRIVAL_LIMIT_S", 0.1)
    answer = PROVOCATIONS[status](api, method, path)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.body)
    assert (problem.status, problem.type) == (status, "about:blank")
    assert bool(problem.errors) == (status == 422)
    assert ("retry-after" in answer.headers) == (status == 503)
