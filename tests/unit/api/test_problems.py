"""api.problems: one form for all errors."""

import json
from typing import Any

import pytest

from api.problems import PATH_LIMIT_CHARS, error_response, problem_response
from api.schemas import Problem
from core import errors
from core.errors import BacklogFullError, InvalidArgumentsError, NotFoundError, StoreUnavailableError, TaskServiceError

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/a b", "raw_path": b"/a%20b"}


def body_of(error: TaskServiceError) -> dict[str, Any]:
    response = error_response(SCOPE, error)
    assert response.media_type == "application/problem+json"
    Problem.model_validate_json(bytes(response.body))
    return dict(json.loads(bytes(response.body)))


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.RequestError)],
)
def test_every_request_error_is_a_problem_with_its_code(kind: type[TaskServiceError]) -> None:
    problem = body_of(kind("what happened"))
    assert (problem["status"], problem["code"], problem["detail"]) == (kind.status, kind.code, "what happened")
    assert ("errors" in problem) == (kind.status == 422)


def test_instance_is_the_path_as_it_was_sent() -> None:
    assert body_of(NotFoundError("x"))["instance"] == "/a%20b"


def test_long_path_is_cut() -> None:
    response = problem_response({"raw_path": b"/" + b"a" * 10_000}, 404, "not_found", "x")
    assert len(json.loads(bytes(response.body))["instance"]) == PATH_LIMIT_CHARS + 3


@pytest.mark.parametrize("kind", [StoreUnavailableError, BacklogFullError])
def test_unavailable_says_when_to_try_again(kind: type[TaskServiceError]) -> None:
    assert int(error_response(SCOPE, kind("x")).headers["retry-after"]) >= 1


def test_error_that_is_not_for_clients_says_nothing() -> None:
    problem = body_of(TaskServiceError("the password is x"))
    assert (problem["status"], problem["code"]) == (500, "internal")
    assert "password" not in json.dumps(problem)


def test_lone_surrogate_of_a_client_does_not_break_the_problem() -> None:
    assert "\\ud800" in bytes(error_response(SCOPE, InvalidArgumentsError("\ud800")).body).decode()
