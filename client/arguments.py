"""A task's arguments on the command line: an option for each parameter, from the JSON Schema that the service sends."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

_PREFIX: Final = "task argument "
_REFERENCE: Final = "#/$defs/"
#: How deep help and examples go into objects in objects.
_DEPTH: Final = 3
_TYPE_NAMES: Final = {"integer": "INTEGER", "number": "NUMBER", "boolean": "true|false", "string": "TEXT", "null": "null"}


def add_task_arguments(parser: argparse.ArgumentParser, task: str, schema: Mapping[str, Any]) -> None:
    """Give parser an option for each parameter, `--line_count` also as `--line-count`, and a place for all as JSON.

    A parameter whose option is taken, as `json`, can only be given as JSON.
    """
    parser.add_argument(
        "arguments", nargs="?", metavar="JSON", help="the arguments as one JSON object; - reads it from standard input"
    )
    group = parser.add_argument_group(f"arguments of {task}")
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        convert = partial(read_value, part=part, schema=schema)
        words = _explain(part, schema, is_required=name in required)
        for flag in {f"--{name}": None, f"--{name.replace('_', '-')}": None}:
            try:
                group.add_argument(
                    flag,
                    dest=_PREFIX + name,
                    type=_named(convert),
                    metavar=_metavar(part, schema),
                    default=argparse.SUPPRESS,
                    help=words.replace("%", "%%") if flag == f"--{name}" else argparse.SUPPRESS,
                )
            except argparse.ArgumentError:
                continue


def collect_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments: those of the JSON object, then those given one by one. Raises ValueError."""
    arguments: Any = {}
    if options.arguments is not None:
        text = sys.stdin.read() if options.arguments == "-" else options.arguments
        try:
            arguments = json.loads(text)
        except ValueError as error:
            raise ValueError(f"the arguments are no JSON: {error}; quote them, as in '{{\"x\": 2}}'") from None
        if not isinstance(arguments, dict):
            raise ValueError("the arguments are no JSON object, as in '{\"x\": 2}'")
    given = {key.removeprefix(_PREFIX): value for key, value in vars(options).items() if key.startswith(_PREFIX)}
    arguments = {**arguments, **given}
    for name, value in arguments.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise ValueError(f"argument {name}: NaN and Infinity are not JSON; give a finite number") from None
    return dict(arguments)


def read_value(text: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return what text means for a parameter: text where only text is taken, else JSON. Raises ValueError."""
    types = set(_types(part, schema))
    if "string" in types and not (types - {"string", "null"}):
        return None if text == "null" and "null" in types else text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if "string" in types or not types:
            return text
        wanted = " or ".join(sorted(types))
        if not types & {"object", "array"}:
            raise ValueError(f"must be {wanted}, not {text[:60]!r}") from None
        reason = f"{error.msg} at character {error.pos + 1}"
        example = json.dumps(_example(part, schema))
        raise ValueError(f"must be JSON, {wanted}, and {text[:60]!r} is not: {reason}; valid is '{example}'") from None


def choices(part: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the values that a parameter takes, if they can be told."""
    found = [_spell(value) for option in _options(part, schema) for value in _values(option)]
    return list(dict.fromkeys(found))


def _named(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def _metavar(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    types = list(dict.fromkeys(_types(part, schema)))
    return "|".join(choices(part, schema)) or "|".join(_TYPE_NAMES.get(name, "JSON") for name in types) or "JSON"


def _explain(part: Mapping[str, Any], schema: Mapping[str, Any], *, is_required: bool) -> str:
    """Return the help of a parameter: its description, what its JSON is made of, whether it may be left out."""
    shape = _shape(part, schema)
    words = [part.get("description", ""), shape if shape[:1] in ("{", "[") else "", "(required)" if is_required else ""]
    return " ".join(word for word in [*words, _default(part)] if word)


def _default(part: Mapping[str, Any]) -> str:
    return f"(default: {_spell(part['default'])})" if "default" in part else ""


def _shape(part: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> str:
    """Return what a value is made of, as {url: TEXT, width: INTEGER (default: 3)}."""
    for option in _options(part, schema) if depth < _DEPTH else ():
        if fields := option.get("properties"):
            shapes = (f"{name}: {_shape(field, schema, depth + 1)} {_default(field)}" for name, field in fields.items())
            return "{" + ", ".join(shape.rstrip() for shape in shapes) + "}"
        if items := option.get("items"):
            return f"[{_shape(items, schema, depth + 1)}, ...]"
    return _metavar(part, schema)


def _example(part: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value of the right shape, with no more than what is required."""
    option = next(_options(part, schema))
    if values := _values(option):
        return values[0]
    if depth < _DEPTH and "properties" in option:
        fields = option["properties"]
        return {name: _example(fields[name], schema, depth + 1) for name in option.get("required", fields) if name in fields}
    if depth < _DEPTH and option.get("items"):
        return [_example(option["items"], schema, depth + 1)]
    return {"string": "text", "integer": 1, "number": 1.5, "object": {}, "array": []}.get(str(option.get("type")))


def _types(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for option in _options(part, schema):
        declared = option.get("type", [])
        yield from [declared] if isinstance(declared, str) else declared
        if "type" not in option:
            yield from (_type_of(value) for value in _values(option))


def _options(part: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that a parameter may match, references resolved."""
    if str(part.get("$ref", "")).startswith(_REFERENCE) and depth < 10:
        part = schema.get("$defs", {}).get(part["$ref"].removeprefix(_REFERENCE), {})
    branches = [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]
    if branches and depth < 10:
        for branch in branches:
            yield from _options(branch, schema, depth + 1)
    else:
        yield part


def _values(option: Mapping[str, Any]) -> list[Any]:
    if option.get("type") == "boolean":
        return [True, False]
    return [option["const"]] if "const" in option else list(option.get("enum", ()))


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _type_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array"}
    return kinds.get(type(value), "object")
