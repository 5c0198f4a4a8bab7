"""Signatures: what a task takes, derived from its function, and the way from a body to typed values.

The arguments are a TypedDict with one key per parameter: any parameter name is a legal key, what was not sent stays out (the
function has its own defaults), and pydantic's strict JSON mode gives the annotated types. The body is stored as it came.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import ErrorDetails, PydanticSerializationError
from typing_extensions import TypedDict

from core.errors import FieldError, InvalidArgumentsError, MalformedError, TaskDefinitionError
from core.parameters import Parameter, read_parameters, task_function
from core.strict_json import (
    NOT_JSON,
    FixedLimits,
    JsonLimits,
    decode,
    dumps,
    explain,
    has_infinity,
    has_number_beyond_float,
    is_suspicious,
    parse,
    shorten,
)

_CONFIG: Final = ConfigDict(extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True)

#: For calls from inside tasks, whose values were checked or computed here: as much as the parsers can take at all.
_CALL_LIMITS: Final = FixedLimits(depth_limit=150, digits_limit=4000)

#: Keys of a core schema whose values are no schema.
_NOT_SCHEMA: Final = frozenset({"default", "metadata", "serialization", "config"})

_ERRORS_SHOWN: Final = 50
_ERRORS_TOLD: Final = 3
_MESSAGE_SHOWN: Final = 300


def signature_of(task: Any) -> "Signature":
    """Return the signature of a registered Celery task. Raises TaskDefinitionError with the task's name and the way out."""
    return Signature(task.name, read_parameters(task.name, task_function(task)))


class Signature:
    """What one task takes: checks bodies, converts stored arguments, binds calls, and describes itself as JSON Schema."""

    __slots__ = ("_extra", "_parameters", "_python", "_task", "_validate_json", "json_schema")

    def __init__(self, task: str, parameters: Sequence[Parameter]) -> None:
        self._task = task
        self._parameters = tuple(parameters)
        self._python = inspect.Signature([inspect.Parameter(item.name, _kind(item)) for item in parameters])
        adapter = _build_adapter(task, parameters)
        self._validate_json = adapter.validator.validate_json
        self._extra = _extra_behaviour(adapter.core_schema)
        keys = _keys(task, adapter.core_schema)
        self.json_schema: dict[str, Any] = _describe(task, parameters, adapter, keys)

    def validate(self, body: bytes, limits: JsonLimits) -> str:
        """Check a request body and return the JSON text to store: the body itself; `{}` for an empty one.

        Raises MalformedError (400) if it is not JSON that we accept, InvalidArgumentsError (422) naming every field that is
        missing, unknown or of another type. An empty body is `{}`: where parameters are required, they are named as missing.
        """
        text = decode(body)
        is_checked = is_suspicious(body, limits)
        if is_checked:
            parse(text, limits)
        elif not body.strip(b" \t\r\n"):
            text = "{}"
        values = self._load(text, limits)
        if is_checked:
            # pydantic takes an integer of 400 digits for a float of a nested model, as infinity.
            if has_number_beyond_float(body) and has_infinity(values):
                raise InvalidArgumentsError(f"wrong arguments for '{self._task}': a number is too large for a float")
        elif text.count(":") != len(values):
            # Each member has its colon, each value a key of its own: as many colons as values mean no key twice, no nesting.
            parse(text, limits)
        return text

    def to_kwargs(self, args: str) -> dict[str, Any]:
        """Return stored arguments as the function takes them, typed. Raises as validate if they no longer fit."""
        return self._load(args, _CALL_LIMITS)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
        """Return the JSON text of a call from Python, checked as a body is: typed values are written as pydantic does.

        Raises TypeError (too many, twice, unknown) or InvalidArgumentsError (missing, mistyped), both with the task's name.
        """
        try:
            arguments = self._python.bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self._task}: {error}; it takes {self._usage()}") from None
        try:
            body = dumps(arguments).encode()
        except UnicodeEncodeError:
            raise InvalidArgumentsError(f"{self._task}: an argument holds half of a surrogate pair") from None
        except NOT_JSON as error:
            raise InvalidArgumentsError(f"{self._task}: an argument is not JSON: {explain(error)}") from error
        try:
            return self.validate(body, _CALL_LIMITS)
        except MalformedError as error:
            raise InvalidArgumentsError(f"{self._task}: {error}") from None

    def _load(self, text: str, limits: JsonLimits) -> dict[str, Any]:
        try:
            values: dict[str, Any] = self._validate_json(text, strict=True, extra=self._extra)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            if details[0]["type"] == "json_invalid" and not details[0]["loc"]:
                parse(text, limits)
                raise MalformedError(f"the body is not JSON: {details[0]['msg']}") from None
            raise self._refusal(details) from None
        except Exception as error:
            # A validator of the task's own models: whatever it raises, this input is what it cannot take.
            raise InvalidArgumentsError(
                f"the arguments of '{self._task}' made its validator fail with {type(error).__name__}"
            ) from error
        return values

    def _refusal(self, details: Sequence[ErrorDetails]) -> InvalidArgumentsError:
        errors = [_field_error(detail) for detail in details[:_ERRORS_SHOWN]]
        told = [f"{'.'.join(map(str, item.loc[1:])) or 'body'}: {item.message}" for item in errors[:_ERRORS_TOLD]]
        if len(details) > _ERRORS_TOLD:
            told.append(f"and {len(details) - _ERRORS_TOLD} more")
        return InvalidArgumentsError(
            f"wrong arguments for '{self._task}': {'; '.join(told)}; it takes {self._usage()}", errors
        )

    def _usage(self) -> str:
        names = [item.name if item.is_required else f"[{item.name}]" for item in self._parameters]
        return ", ".join(names) or "no arguments"


def _kind(parameter: Parameter) -> Any:
    return inspect.Parameter.KEYWORD_ONLY if parameter.is_keyword_only else inspect.Parameter.POSITIONAL_OR_KEYWORD


def _field_error(detail: ErrorDetails) -> FieldError:
    # Keys are the client's own text: they are named, not repeated at any length.
    loc = tuple(shorten(part) if isinstance(part, str) else part for part in detail["loc"])
    return FieldError(loc=("body", *loc), message=detail["msg"][:_MESSAGE_SHOWN], type=detail["type"])


def _build_adapter(task: str, parameters: Sequence[Parameter]) -> TypeAdapter[dict[str, Any]]:
    try:
        adapter = _adapter(parameters)
        _adapter_schema(adapter)
    except Exception as error:
        # Annotations run code of their own and may raise anything; the start must name the task.
        culprit = next((item for item in parameters if not _is_expressible(item)), None)
        where = f"the annotation of parameter '{culprit.name}'" if culprit else "the signature"
        reason = str(error).split("\n", 1)[0]
        raise TaskDefinitionError(
            f"task '{task}': {where} cannot be sent as JSON ({reason}); use built-in types, dataclasses, pydantic models,"
            " enums, datetimes, UUID or Decimal"
        ) from error
    _check_schema(task, parameters, adapter)
    return adapter


def _adapter(parameters: Sequence[Parameter], *, is_total: bool = True) -> TypeAdapter[dict[str, Any]]:
    make: Any = TypedDict
    fields = {
        item.name: (Required if item.is_required and is_total else NotRequired)[item.annotation] for item in parameters
    }
    kind = make("Arguments", fields)
    kind.__pydantic_config__ = _CONFIG
    return TypeAdapter(kind)


def _adapter_schema(adapter: TypeAdapter[dict[str, Any]]) -> dict[str, Any]:
    return adapter.json_schema(mode="validation", schema_generator=_SchemaGenerator)


def _is_expressible(parameter: Parameter) -> bool:
    try:
        _adapter_schema(_adapter([parameter]))
    except Exception:  # noqa: BLE001  # as in _build_adapter, which raises the reason
        return False
    return True


def _check_schema(task: str, parameters: Sequence[Parameter], adapter: TypeAdapter[dict[str, Any]]) -> None:
    filled = _adapter(parameters, is_total=False).validator.validate_json("{}")
    if filled:
        name = next(iter(filled))
        raise TaskDefinitionError(
            f"task '{task}': parameter '{name}' has a default in its annotation; write {name}: ... = 5 in the signature"
        )
    if any(node.get("type") == "generator" for node in _nodes(adapter.core_schema)):
        raise TaskDefinitionError(
            f"task '{task}': an Iterable or Generator is checked only while it is read, too late for a 422; use list[...] or"
            " Sequence[...]"
        )


def _keys(task: str, core_schema: Any) -> dict[str, str]:
    """Return the key in a body of each parameter: its name, or a plain alias (as for `from_`). No key may mean two."""
    while core_schema["type"] != "typed-dict":
        core_schema = core_schema["schema"]
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for name, field in core_schema["fields"].items():
        alias = field.get("validation_alias", name)
        if not isinstance(alias, str) or taken & {name, alias}:
            raise TaskDefinitionError(
                f"task '{task}': parameter '{name}' needs one alias of its own, as in Field(alias='from')"
            )
        keys[name] = alias
        taken |= {name, alias}
    return keys


def _extra_behaviour(core_schema: Any) -> Literal["forbid"] | None:
    """Return "forbid" to refuse unknown fields at every depth; None where a nested model says itself that it takes them."""
    asked = {_extra_of(node) for node in _nodes(core_schema)}
    return None if asked & {"allow", "ignore"} else "forbid"


def _extra_of(node: dict[str, Any]) -> Any:
    return node.get("extra_behavior") or (node.get("config") or {}).get("extra_fields_behavior")


def _nodes(core_schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a pydantic core schema, leaving out what is not schema: defaults and metadata."""
    rest = [core_schema]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield item
            rest.extend(value for key, value in item.items() if key not in _NOT_SCHEMA)
        elif isinstance(item, list | tuple):
            rest.extend(item)


def _describe(
    task: str, parameters: Sequence[Parameter], adapter: TypeAdapter[dict[str, Any]], keys: Mapping[str, str]
) -> dict[str, Any]:
    schema = _adapter_schema(adapter)
    schema["title"] = task
    for item in parameters:
        if not item.is_required and (default := _json_default(item.default)):
            schema["properties"][keys[item.name]]["default"] = default[0]
    return schema


def _json_default(value: Any) -> tuple[Any] | None:
    """Return the JSON value of a default in a 1-tuple, None if it has none: then the schema does not show it."""
    try:
        return (json.loads(dumps(value)),)
    except NOT_JSON:
        return None


class _SchemaGenerator(GenerateJsonSchema):
    """Leaves out what JSON cannot say (a default of infinity), silently: the schema is served as JSON."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Stay silent: what is left out is documented above."""

    def encode_default(self, dft: Any) -> Any:
        """Return the JSON value of a default in a nested model."""
        default = _json_default(dft)
        if default is None:
            raise PydanticSerializationError("no JSON")
        return default[0]
