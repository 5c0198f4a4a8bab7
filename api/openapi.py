"""The OpenAPI description: what FastAPI derives, the tasks' own schemas, and the problems of each operation."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.operations import KEY_SCHEMA, option_parameters
from api.problems import MEDIA_TYPE
from api.schemas import Problem
from core.registry import Registry, TaskSpec
from core.settings import Settings

_COMPONENTS: Final = "#/components/schemas/"
_DEFS: Final = "#/$defs/"

_REASONS: Final = {
    400: "Not acceptable JSON, or no acceptable HTTP",
    404: "No such job: unknown, malformed, deleted or another owner's",
    408: "The body took longer than 10 s to arrive",
    409: "Not in the state that the job is in",
    413: "The body is too large",
    415: "A body that is not application/json in UTF-8",
    421: "The Host header names a host that is not ours",
    422: "Well-formed, but not what the operation takes",
    500: "An unexpected error",
    503: "The database is out of reach, or too many jobs are unfinished, or too many connections are open",
}
_WITH_RETRY_AFTER: Final = 503

LIST_PROBLEMS: Final = (400, 421, 422, 503)
READ_PROBLEMS: Final = (400, 404, 421, 422, 503)
SUBMIT_PROBLEMS: Final = (400, 408, 413, 415, 421, 422, 503)
CONTROL_PROBLEMS: Final = (400, 404, 408, 409, 413, 415, 421, 422, 503)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of an operation's problems, for `responses` of a route."""
    return {status: _problem_response(status) for status in statuses}


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _REASONS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_COMPONENTS}Problem"}}},
    }
    if status == _WITH_RETRY_AFTER:
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}, "required": True}}
    return response


class TaskSchemas:
    """The schemas of the tasks' arguments; what they define for themselves moves to the document's components.

    A reference to `#/$defs/...` means the root of the document (RFC 3986), which is not where a schema inside it is.
    """

    def __init__(self) -> None:
        self._components: dict[str, Any] = {}

    def request_body(self, spec: TaskSpec) -> dict[str, Any]:
        """Return the documentation of the request body of a task."""
        schema = self._args_schema(spec)
        return {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}

    def job_request(self, registry: Registry, settings: Settings) -> dict[str, Any]:
        """Return the reference to the schema of a job of any task, which becomes a component."""
        tasks = []
        for spec in registry.specs.values():
            args = self._args_schema(spec)
            required = ["task", "args"] if args.get("required") else ["task"]
            names = list(dict.fromkeys((spec.name, spec.route)))
            tasks.append({"properties": {"task": {"enum": names}, "args": args}, "required": required})
        options = {
            item["name"]: {**item["schema"], "description": item["description"]} for item in option_parameters(settings)
        }
        self._components["JobRequest"] = {
            "title": "JobRequest",
            "type": "object",
            "description": "A job of any task; an option that is null is as one that is not there",
            "properties": {
                "task": {"type": "string", "description": "Celery's name, or the route's"},
                "args": {"type": "object", "description": "The arguments by name"},
                "idempotency_key": _or_null({**KEY_SCHEMA, "description": "As the header Idempotency-Key"}),
                **{name: _or_null(schema) for name, schema in options.items()},
            },
            "required": ["task"],
            "additionalProperties": False,
            "oneOf": tasks,
        }
        return {"$ref": f"{_COMPONENTS}JobRequest"}

    def describe(self, app: FastAPI) -> dict[str, Any]:
        """Return the document (FastAPI documentation, "Extending OpenAPI")."""
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _, problem = models_json_schema([(Problem, "serialization")], ref_template=_COMPONENTS + "{model}")
        schemas.update(problem["$defs"])
        schemas.update(deepcopy(self._components))
        return document

    def _args_schema(self, spec: TaskSpec) -> dict[str, Any]:
        schema = dict(spec.signature.json_schema)
        definitions: Mapping[str, Any] = schema.pop("$defs", {})
        prefix = f"{_COMPONENTS}{spec.route}."
        for name, definition in definitions.items():
            self._components[f"{spec.route}.{name}"] = _moved(definition, prefix)
        moved: dict[str, Any] = _moved(schema, prefix)
        return moved


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _moved(node: Any, prefix: str) -> Any:
    """Return a schema with its references, also those of a discriminator's mapping, pointing below prefix."""
    if isinstance(node, dict):
        return {
            key: _moved_reference(value, prefix) if key == "$ref" else _moved_mapping(key, value, prefix)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_moved(item, prefix) for item in node]
    return node


def _moved_mapping(key: str, value: Any, prefix: str) -> Any:
    if key == "discriminator" and isinstance(value, dict) and isinstance(value.get("mapping"), dict):
        mapping = {name: _moved_reference(target, prefix) for name, target in value["mapping"].items()}
        return {**value, "mapping": mapping}
    return _moved(value, prefix)


def _moved_reference(value: Any, prefix: str) -> Any:
    return prefix + value.removeprefix(_DEFS) if isinstance(value, str) and value.startswith(_DEFS) else value
