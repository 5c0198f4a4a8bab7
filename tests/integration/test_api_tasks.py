"""GET /tasks and GET /tasks/{name}."""

from collections.abc import Iterator

import pytest

from api.schemas import TaskCatalogue, TaskDetail
from tests.api_rig import RunningApi, make_registry, make_settings


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """The api without a database: what can run is known without it."""
    with RunningApi(make_settings("postgresql://nobody@127.0.0.1:1/none")) as api:
        yield api


def test_catalogue_has_every_task_with_its_schema(api: RunningApi) -> None:
    answer = api.get("/tasks")
    tasks = TaskCatalogue.model_validate_json(answer.content).tasks
    assert [task.name for task in tasks] == sorted(make_registry().specs)
    add = tasks[0]
    assert (add.route, add.queue, add.doc, add.max_attempts) == ("add", "default", "Add two integers.", 6)
    assert add.schema_["required"] == ["x", "y"]
    assert add.schema_["properties"]["x"]["type"] == "integer"
    assert answer.json()["tasks"][0]["schema"] == add.schema_


@pytest.mark.parametrize("name", ["add", "tasks.add"])
def test_task_is_found_by_either_name(api: RunningApi, name: str) -> None:
    assert TaskDetail.model_validate_json(api.get(f"/tasks/{name}").content).name == "tasks.add"


@pytest.mark.parametrize("path", ["/tasks", "/tasks/add"])
def test_unchanged_description_is_not_sent_again(api: RunningApi, path: str) -> None:
    tag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_unknown_task_gets_a_suggestion(api: RunningApi) -> None:
    answer = api.get("/tasks/uper_case")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "did you mean 'upper_case'?" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/tasks?a=1", "/tasks/add?a=1"])
def test_unknown_query_parameter_is_invalid(api: RunningApi, path: str) -> None:
    assert api.get(path).status_code == 422
