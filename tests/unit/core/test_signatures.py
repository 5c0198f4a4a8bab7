"""Signatures: what a body must be for a function's parameters, and what the function gets."""

import asyncio
import inspect
import json
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from core.errors import InvalidArgumentsError, MalformedError, TaskDefinitionError
from core.parameters import read_parameters
from core.signatures import Signature, signature_of
from core.strict_json import FixedLimits
from tests.unit.core.conftest import Load, WriteModule

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # the point of a test

LIMITS = FixedLimits(depth_limit=32, digits_limit=1000)
UUID_1 = UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
UserId = NewType("UserId", int)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Address(BaseModel):
    street: str
    number: int = 1
    weight: float = 0.0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Plain:
    pass


@dataclass
class Point:
    x: int
    y: float = 0.5


class Movie(TypedDict, total=False):
    title: str


def make(function: Callable[..., Any]) -> Signature:
    return Signature("shop.task", read_parameters("shop.task", function))


def taking(annotation: Any) -> Signature:
    def task(x: Any) -> None: ...

    task.__annotations__["x"] = annotation
    return make(task)


def add(x: int, y: int = 7) -> int:
    return x + y


TYPED: list[tuple[Any, str, Any]] = [
    (int, "2", 2),
    (float, "2", 2.0),
    (bool, "true", True),
    (str, '"2"', "2"),
    (bytes, '"ab"', b"ab"),
    (None, "null", None),
    (Any, '{"a": [1, null]}', {"a": [1, None]}),
    (datetime, '"2024-01-02T12:00:00Z"', NOON),
    (date, '"2024-01-02"', date(2024, 1, 2)),
    (time, '"12:30:00"', time(12, 30)),
    (timedelta, '"PT1H"', timedelta(hours=1)),
    (UUID, f'"{UUID_1}"', UUID_1),
    (Decimal, '"1.50"', Decimal("1.50")),
    (Colour, '"red"', Colour.RED),
    (Level, "3", Level.HIGH),
    (list[int], "[1, 2]", [1, 2]),
    (dict[str, date], '{"a": "2024-01-02"}', {"a": date(2024, 1, 2)}),
    (dict[int, UUID], f'{{"1": "{UUID_1}"}}', {1: UUID_1}),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (set[int], "[1, 1]", {1}),
    (Sequence[int], "[1]", [1]),
    (int | str, '"1"', "1"),
    (Optional[int], "null", None),  # noqa: UP045  # the old spelling is what is tested
    (Literal["a", 1], '"a"', "a"),
    (Annotated[int, Field(gt=0)], "1", 1),
    (UserId, "5", 5),
    (Movie, '{"title": "Up"}', {"title": "Up"}),
    (Address, '{"street": "Elm"}', Address(street="Elm")),
    (list[Address] | None, '[{"street": "Elm", "number": 2}]', [Address(street="Elm", number=2)]),
    (Point, '{"x": 1}', Point(1)),
    ("Address | None", "null", None),
]


@pytest.mark.parametrize(("annotation", "sent", "expected"), TYPED, ids=[str(row[0]) for row in TYPED])
def test_function_gets_the_annotated_type(annotation: Any, sent: str, expected: Any) -> None:
    signature = taking(annotation)
    body = f'{{"x": {sent}}}'
    assert signature.validate(body.encode(), LIMITS) == body
    got = signature.to_kwargs(body)
    assert got == {"x": expected}
    assert type(got["x"]) is type(expected)


@pytest.mark.parametrize(("annotation", "sent", "expected"), TYPED, ids=[str(row[0]) for row in TYPED])
def test_typed_values_of_a_call_come_back_typed(annotation: Any, sent: str, expected: Any) -> None:
    signature = taking(annotation)
    assert signature.to_kwargs(signature.bind((expected,), {})) == {"x": expected}


@pytest.mark.parametrize(
    ("annotation", "sent", "kind"),
    [
        (int, '"2"', "int_type"),
        (int, "true", "int_type"),
        (int, "2.0", "int_type"),
        (int, "1e2", "int_type"),
        (str, "2", "string_type"),
        (bool, "1", "bool_type"),
        (float, '"1"', "float_type"),
        (float, "9" * 400, "finite_number"),
        (datetime, "17", "datetime_type"),
        (Decimal, '"NaN"', "finite_number"),
        (Colour, '"blue"', "enum"),
        (Annotated[int, Field(gt=0)], "0", "greater_than"),
        (Literal["a"], '"b"', "literal_error"),
    ],
)
def test_value_of_another_type_is_refused_by_name(annotation: Any, sent: str, kind: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"'shop\.task': x: ") as caught:
        taking(annotation).validate(f'{{"x": {sent}}}'.encode(), LIMITS)
    assert [(error.loc, error.type) for error in caught.value.errors] == [(("body", "x"), kind)]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b'{"y": 1}', {("body", "x"): "missing"}),
        (b'{"x": 1, "z": 1}', {("body", "z"): "extra_forbidden"}),
        (b'{"y": "a"}', {("body", "x"): "missing", ("body", "y"): "int_type"}),
        (b"[]", {("body",): "dict_type"}),
        (b"null", {("body",): "dict_type"}),
        (b'"x"', {("body",): "dict_type"}),
    ],
)
def test_wrong_fields_are_all_named(body: bytes, errors: dict[tuple[str, ...], str]) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"it takes x, \[y\]") as caught:
        make(add).validate(body, LIMITS)
    assert {error.loc: error.type for error in caught.value.errors} == errors


@pytest.mark.parametrize("annotation", [Address, Point, Movie, list[Address], dict[str, Point | None]])
def test_unknown_field_is_refused_at_any_depth(annotation: Any) -> None:
    inner = '{"street": "Elm", "title": "Up", "x": 1, "unknown": 1}'
    sent = {list[Address]: f"[{inner}]", dict[str, Point | None]: f'{{"a": {inner}}}'}.get(annotation, inner)
    with pytest.raises(InvalidArgumentsError, match="unknown"):
        taking(annotation).validate(f'{{"x": {sent}}}'.encode(), LIMITS)


def test_model_that_takes_unknown_fields_gets_them() -> None:
    body = b'{"x": {"name": "a", "more": 1}}'
    signature = taking(Open)
    assert signature.to_kwargs(signature.validate(body, LIMITS))["x"].model_extra == {"more": 1}


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":NaN}',
        b'{"x":-Infinity}',
        b'{"x":1e999}',
        b'{"x":{"a":[1e999]}}',
        b'{"x":"\\u0000"}',
        b'{"x":{"\\u0000":1}}',
        b'{"x":"\\ud800"}',
        b'{"x":"\xff"}',
        b'{"x":"\x00"}',
        b'{"x":' + b"9" * 1001 + b"}",
        b'{"x":' + b"9" * 10_000 + b"}",
        b'{"x":' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"x":1,"x":1}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[{"a":1,"b":2,"a":2}]}',
        b"not JSON",
        b"\xef\xbb\xbf{}",
        b'{"x":1',
    ],
)
@pytest.mark.parametrize("annotation", [Any, dict[str, Any], int, str, list[float], Address])
def test_dangerous_body_is_refused_whatever_the_annotation(annotation: Any, body: bytes) -> None:
    with pytest.raises((MalformedError, InvalidArgumentsError)):
        taking(annotation).validate(body, LIMITS)


def test_duplicate_key_is_refused_although_each_value_fits() -> None:
    with pytest.raises(MalformedError, match="'x' occurs twice"):
        make(add).validate(b'{"x":1,"y":2,"x":1}', LIMITS)


def test_malformed_body_is_refused_for_a_task_without_parameters() -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        make(lambda: None).validate(b"{", LIMITS)


def test_integer_that_a_float_of_a_nested_model_cannot_hold_is_refused() -> None:
    body = b'{"x":{"street":"Elm","weight":' + b"9" * 400 + b"}}"
    with pytest.raises(InvalidArgumentsError, match="too large for a float"):
        taking(Address).validate(body, LIMITS)


@pytest.mark.parametrize(
    "sent", ['"NaN"', '"' + "1" * 1001 + '"', '"\\\\u0000"', '"a:b"', "9" * 1000, '"\\ud83d\\ude00"', "[[]]"]
)
def test_body_that_only_looks_dangerous_is_stored_as_sent(sent: str) -> None:
    body = f'{{ "x" :\n{sent}}}'
    assert taking(Any).validate(body.encode(), LIMITS) == body


def test_infinity_that_a_model_has_by_default_is_no_clients_error() -> None:
    class Bounded(BaseModel):
        name: str
        limit: float = float("inf")

    body = '{"x":{"name":"NaN"}}'
    assert taking(Bounded).validate(body.encode(), LIMITS) == body


def test_only_what_was_sent_reaches_the_function() -> None:
    assert make(add).to_kwargs('{"x": 1}') == {"x": 1}


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_empty_body_is_no_arguments(body: bytes) -> None:
    def task(x: int = 1) -> None: ...

    assert make(task).validate(body, LIMITS) == "{}"


def test_empty_body_is_refused_where_a_parameter_is_required() -> None:
    with pytest.raises(InvalidArgumentsError, match="x: Field required") as caught:
        make(add).validate(b"", LIMITS)
    assert [error.loc for error in caught.value.errors] == [("body", "x")]


def test_parameters_may_have_any_name() -> None:
    names = ["self", "cls", "schema", "json", "copy", "model_config", "model_x", "_a", "__b", "validate", "items", "args"]
    sent = dict.fromkeys(names, 1)

    def task() -> None: ...

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    task.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    signature = make(task)
    assert signature.to_kwargs(signature.validate(json.dumps(sent).encode(), LIMITS)) == sent
    assert signature.to_kwargs(signature.bind((), sent)) == sent
    assert list(signature.json_schema["properties"]) == names


def test_parameter_may_have_an_alias_that_python_does_not_allow_as_a_name() -> None:
    def task(from_: Annotated[int, Field(alias="from")] = 5) -> None: ...

    signature = make(task)
    assert signature.to_kwargs(signature.validate(b'{"from": 1}', LIMITS)) == {"from_": 1}
    assert signature.to_kwargs(signature.bind((1,), {})) == {"from_": 1}
    assert signature.json_schema["properties"]["from"]["default"] == 5


def test_keyword_only_parameter_is_sent_like_any_other() -> None:
    def task(x: int, *, y: int) -> None: ...

    signature = make(task)
    assert signature.to_kwargs('{"x": 1, "y": 2}') == {"x": 1, "y": 2}
    assert signature.bind((1,), {"y": 2}) == '{"x":1,"y":2}'
    with pytest.raises(TypeError, match=r"shop\.task: too many positional"):
        signature.bind((1, 2), {})


def test_return_annotation_need_not_be_resolvable() -> None:
    def task(x: "int") -> "Unknown": ...

    assert make(task).to_kwargs('{"x": 1}') == {"x": 1}


def test_decorated_function_keeps_its_parameters() -> None:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    with pytest.raises(InvalidArgumentsError, match="valid integer"):
        make(decorate(add)).validate(b'{"x": "1"}', LIMITS)


def test_sync_function_around_an_async_one_is_served() -> None:
    async def work(x: int) -> int:
        return x

    @wraps(work)
    def task(x: int) -> int:
        return asyncio.run(work(x))

    assert make(task).to_kwargs('{"x": 1}') == {"x": 1}


def test_schema_says_what_is_required_and_shows_defaults_that_are_json() -> None:
    def task(
        *,
        a: int,
        b: Colour = Colour.RED,
        c: timedelta = timedelta(hours=1),
        d: Any = Plain,
        e: float = float("inf"),
        f: Any = None,
    ) -> None: ...

    schema = make(task).json_schema
    defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    assert defaults == {"b": "red", "c": "PT1H", "f": None}
    assert schema["required"] == ["a"]
    assert schema["additionalProperties"] is False


def test_schema_is_json_although_a_nested_default_is_not() -> None:
    class Odd(BaseModel):
        limit: float = float("inf")
        thing: Any = object()

    json.dumps(taking(Odd).json_schema, allow_nan=False)


def _star(*numbers: int) -> None: ...
def _stars(x: int, **options: int) -> None: ...
def _positional(x: int, /) -> None: ...
def _unresolvable(x: "Unknown") -> None: ...
def _syntax(x: "int |") -> None: ...  # type: ignore[valid-type]  # noqa: F722  # the point of the test
def _arbitrary(first: int, x: Plain) -> None: ...
def _callable(x: Callable[[], int]) -> None: ...
def _number(x: 3) -> None: ...  # type: ignore[valid-type]  # the same
def _iterable(x: Iterable[int]) -> None: ...
def _generator(x: Generator[int, None, None]) -> None: ...
def _field_default(x: int = Field(gt=0)) -> None: ...
def _annotated_default(x: Annotated[int, Field(default=5)]) -> None: ...
def _annotated_factory(x: Annotated[int, Field(default_factory=int)] = 3) -> None: ...
def _choices(x: Annotated[int, Field(validation_alias=AliasChoices("a", "b"))]) -> None: ...
def _same_alias(x: int, y: Annotated[int, Field(alias="x")]) -> None: ...
async def _coroutine(x: int) -> None: ...
def _yielding(x: int) -> Generator[int, None, None]:
    yield x


@pytest.mark.parametrize(
    ("function", "parameter", "way_out"),
    [
        (_star, "'numbers'", r"list\[int\]"),
        (_stars, "'options'", "write the parameters out"),
        (_positional, "'x'", "remove the '/'"),
        (_unresolvable, "'x'", "Unknown.*TYPE_CHECKING"),
        (_syntax, "'x'", "SyntaxError"),
        (_arbitrary, "'x'", "use built-in types"),
        (_callable, "'x'", "use built-in types"),
        (_number, "'x'", "use built-in types"),
        (_iterable, "Iterable", "Sequence"),
        (_generator, "Generator", "Sequence"),
        (_field_default, "'x'", "Annotated"),
        (_annotated_default, "'x'", "in the signature"),
        (_annotated_factory, "'x'", "in the signature"),
        (_choices, "'x'", "one alias"),
        (_same_alias, "'y'", "one alias"),
        (_coroutine, "async", "asyncio.run"),
        (_yielding, "generator", "return a list"),
    ],
)
def test_function_that_no_body_can_call_stops_the_start(function: Callable[..., Any], parameter: str, way_out: str) -> None:
    with pytest.raises(TaskDefinitionError, match=f"'shop.task'.*{parameter}.*{way_out}"):
        make(function)


def test_call_with_positions_and_names_becomes_a_body() -> None:
    assert make(add).bind((2,), {"y": 3}) == '{"x":2,"y":3}'


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "reason"),
    [
        ((1, 2, 3), {}, TypeError, "too many positional"),
        ((1,), {"x": 1}, TypeError, "multiple values"),
        ((), {"z": 1}, TypeError, "'z'"),
        ((), {}, InvalidArgumentsError, "x: Field required"),
        (("2",), {}, InvalidArgumentsError, "x: Input should be a valid integer"),
        ((True,), {}, InvalidArgumentsError, "valid integer"),
        ((object(),), {}, InvalidArgumentsError, "not JSON"),
        ((10**4001,), {}, InvalidArgumentsError, "4002 digits"),
    ],
)
def test_wrong_call_is_refused_with_the_name_of_the_task(
    args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=f"shop.task.*{reason}"):
        make(add).bind(args, kwargs)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        "\0",
        "\ud800",
        {"a": Address.model_construct(street=float("nan"))},  # type: ignore[arg-type]  # the point of the test
    ],
)
def test_call_with_a_value_that_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"shop\.task"):
        taking(Any).bind((value,), {})


def test_call_may_pass_on_a_long_product() -> None:
    product = 10**1999
    assert make(add).to_kwargs(make(add).bind((product,), {})) == {"x": product}


def test_long_text_of_a_client_is_not_repeated_in_the_error() -> None:
    body = json.dumps({"k" * 10_000: 1, "x": 1}).encode()
    with pytest.raises(InvalidArgumentsError) as caught:
        make(add).validate(body, LIMITS)
    assert len(str(caught.value)) < 300
    assert all(len(str(error.loc)) < 100 for error in caught.value.errors)


def test_thousands_of_errors_are_counted_and_not_all_listed() -> None:
    body = json.dumps({"x": [""] * 5000}).encode()
    with pytest.raises(InvalidArgumentsError, match="and 4997 more") as caught:
        taking(list[int]).validate(body, LIMITS)
    assert len(caught.value.errors) == 50


def test_validator_that_breaks_is_the_clients_error_and_names_the_task() -> None:
    def invert(value: int) -> float:
        return 1 / value

    with pytest.raises(InvalidArgumentsError, match=r"'shop.task'.*ZeroDivisionError"):
        taking(Annotated[int, AfterValidator(invert)]).validate(b'{"x":0}', LIMITS)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a\0:\\ü\ud800{"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:\0", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_any_json_is_stored_as_sent_or_refused_and_never_breaks(value: Any) -> None:
    body = json.dumps({"x": value})
    try:
        stored = _ANY.validate(body.encode(), LIMITS)
    except MalformedError:
        assert "\\u0000" in body or "\\ud800" in body
    else:
        assert stored == body
        assert repr(_ANY.to_kwargs(stored)) == repr({"x": value})


@given(st.binary(max_size=40) | st.text('{}[]":,\\ux0123eE+-.NaIfity ', max_size=40).map(str.encode))
def test_any_bytes_are_taken_or_refused_and_never_break(body: bytes) -> None:
    try:
        stored = _ANY.validate(body, LIMITS)
    except (MalformedError, InvalidArgumentsError):
        return
    assert json.loads(stored).keys() == {"x"}


_ANY = taking(Any)

CELERY_TASKS = """
    FUTURE
    from celery import Task, shared_task

    class Database(Task):
        calls = 0

    @shared_task
    def plain(x: int, *, y: str = "a"): "Doc."

    @shared_task(bind=True)
    def bound(self, x: int, *, y: str = "a"): "Doc."

    @shared_task(autoretry_for=(OSError,))
    def retried(x: int, *, y: str = "a"): "Doc."

    @shared_task(bind=True, autoretry_for=(OSError,), retry_backoff=True)
    def bound_and_retried(self, x: int, *, y: str = "a"): "Doc."

    @shared_task(base=Database)
    def based(x: int, *, y: str = "a"): "Doc."

    @shared_task(bind=True, base=Database, autoretry_for=(OSError,))
    def all_of_it(self, x: int, *, y: str = "a"): "Doc."
"""


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
@pytest.mark.parametrize("name", ["plain", "bound", "retried", "bound_and_retried", "based", "all_of_it"])
def test_celery_task_has_the_signature_of_its_function(
    name: str, future: str, write_module: WriteModule, load: Load
) -> None:
    write_module("shop_tasks", CELERY_TASKS.replace("FUTURE", future))
    spec = load("shop_tasks").find(f"shop_tasks.{name}")
    assert list(spec.signature.json_schema["properties"]) == ["x", "y"]
    assert spec.signature.json_schema["required"] == ["x"]
    assert spec.signature.to_kwargs('{"x": 1}') == {"x": 1}
    assert spec.doc == "Doc."


def test_signature_of_reads_a_registered_task(service_app: Any, write_module: WriteModule) -> None:
    task = service_app._task_from_fun(add, name="shop.add")
    assert signature_of(task).bind((1,), {}) == '{"x":1}'
