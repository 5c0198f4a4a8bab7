"""The OpenAPI description: every reference leads somewhere, every task has its own schema."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
from starlette.routing import Route

from api import VERSION
from api.app import create_app
from api.documentation import DocumentationEndpoints
from api.openapi import TaskSchemas
from core.registry import TaskSpec
from tests.api_rig import make_registry, make_settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = create_app(make_settings("postgresql://nowhere"), make_registry())
    route = next(route for route in app.router.routes if isinstance(route, Route) and route.path == "/openapi.json")
    assert isinstance(route.endpoint, MethodType)
    owner = route.endpoint.__self__
    assert isinstance(owner, DocumentationEndpoints)
    return owner._make_schema()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_every_reference_leads_to_a_component(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_component_names_are_legal(document: dict[str, Any]) -> None:
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in document["components"]["schemas"])


def test_definitions_of_a_task_are_components_of_its_own(document: dict[str, Any]) -> None:
    schema = document["paths"]["/order"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "$defs" not in schema
    assert schema["properties"]["lines"]["items"] == {"$ref": "#/components/schemas/order.Line"}
    line = document["components"]["schemas"]["order.Line"]
    assert line["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/order.Line"}


def test_body_is_required_where_parameters_are(document: dict[str, Any]) -> None:
    assert document["paths"]["/add"]["post"]["requestBody"]["required"] is True
    assert document["paths"]["/ping"]["post"]["requestBody"]["required"] is False


def test_every_task_has_a_route_with_parameters_and_problems(document: dict[str, Any]) -> None:
    for route in make_registry().by_route:
        operation = document["paths"][f"/{route}"]["post"]
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names == {"Idempotency-Key", "Prefer", "delay_s", "eta", "priority", "expires_s"}
        problems = {status: set(answer["content"]) for status, answer in operation["responses"].items() if status >= "400"}
        assert set(problems) == {"400", "408", "413", "415", "421", "422", "503"}
        assert all(types == {"application/problem+json"} for types in problems.values())


def test_discriminators_point_to_the_components_too() -> None:
    schema = {
        "$defs": {"Cat": {"type": "object"}},
        "properties": {
            "pet": {
                "oneOf": [{"$ref": "#/$defs/Cat"}],
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}},
            }
        },
    }
    signature = SimpleNamespace(json_schema=schema)
    spec = TaskSpec("tasks.pet", "pet", "default", "", 6, signature)  # type: ignore[arg-type]
    body = TaskSchemas().request_body(spec)
    pet = body["content"]["application/json"]["schema"]["properties"]["pet"]
    assert pet["discriminator"]["mapping"] == {"cat": "#/components/schemas/pet.Cat"}
    assert schema["$defs"] == {"Cat": {"type": "object"}}


def test_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
