"""Strict JSON: what is refused in a body, what is not, and that a result keeps its value."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json

from core.errors import MalformedError, ResultError
from core.strict_json import FixedLimits, canonical, decode, dumps, encode_result, has_infinity, is_suspicious, parse

LIMITS = FixedLimits(depth_limit=32, digits_limit=1000)
MEBIBYTE = 1 << 20
UUID_1 = UUID("12345678-1234-5678-1234-567812345678")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Model(BaseModel):
    any_value: Any = 1
    number: float = 1.0


@dataclass
class Point:
    x: Any
    y: float = 0.0


def _nested(depth: int) -> bytes:
    return b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


REFUSED = {
    "NaN": (b'{"x":NaN}', "NaN"),
    "infinity": (b'{"x":Infinity}', "Infinity"),
    "minus infinity": (b'{"x":[-Infinity]}', "Infinity"),
    "overflow": (b'{"x":1e999}', "too large for a float"),
    "overflow with E+": (b'{"x":-1E+400}', "too large for a float"),
    "overflow with leading zeros": (b'{"x":1e0000999}', "too large for a float"),
    "overflow by digits": (b'{"x":' + b"9" * 400 + b".0}", "too large for a float"),
    "overflow by digits and exponent": (b'{"x":' + b"9" * 250 + b"e99}", "too large for a float"),
    "digits": (b'{"x":' + b"9" * 1001 + b"}", "1001 digits, the limit is 1000"),
    "negative digits": (b'{"x":-' + b"9" * 1001 + b"}", "1001 digits"),
    "fraction digits": (b'{"x":0.' + b"1" * 1001 + b"}", "1001 digits"),
    "exponent digits": (b'{"x":1e-' + b"1" * 1001 + b"}", "1001 digits"),
    "10,000 digits": (b'{"x":' + b"9" * 10_000 + b"}", "10000 digits"),
    "depth": (_nested(33), "deeper than 32"),
    "depth 1,000": (_nested(1000), "deeper than 32"),
    "depth of objects": (b'{"x":' * 40 + b"1" + b"}" * 40, "deeper than 32"),
    "NUL": (b'{"x":"a\\u0000b"}', "NUL"),
    "NUL in a key": (b'{"x":{"\\u0000":1}}', "NUL"),
    "NUL after a backslash": (b'{"x":"\\\\\\u0000"}', "NUL"),
    "duplicate": (b'{"x":1,"x":2}', "'x' occurs twice"),
    "nested duplicate": (b'{"a":[{"x":1,"y":1,"x":2}]}', "'x' occurs twice"),
    "duplicate by escape": (b'{"x":1,"\\u0078":2}', "'x' occurs twice"),
    "lone surrogate": (b'{"x":"\\ud800"}', "surrogate"),
    "lone low surrogate in a key": (b'{"\\udc00":1}', "surrogate"),
    "control character": (b'{"x":"\x01"}', "not JSON"),
    "raw NUL": (b'{"x":"\x00"}', "not JSON"),
    "truncated": (b'{"x":', "not JSON"),
    "trailing text": (b"{} {}", "not JSON"),
    "single quotes": (b"{'x': 1}", "not JSON"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "Latin-1": (b'{"x":"\xe4"}', "not UTF-8"),
    "UTF-16": ('{"x":1}'.encode("utf-16"), "not UTF-8"),
    "a surrogate as UTF-8": (b'{"x":"\xed\xa0\x80"}', "not UTF-8"),
}

ACCEPTED = {
    "the word NaN": b'{"x":"NaN, Infinity and -Infinity"}',
    "a long number as text": b'{"x":"' + b"9" * 2000 + b'"}',
    "an overflow as text": b'{"x":"1e999"}',
    "an escaped backslash before u0000": b'{"x":"\\\\u0000"}',
    "three backslash pairs": b'{"x":"\\\\\\\\\\\\u0000"}',
    "brackets in text": b'{"x":"' + b"[{" * 100 + b'"}',
    "brackets after an escaped quote": b'{"x":"\\"' + b"[" * 100 + b'"}',
    "the deepest": _nested(32),
    "many arrays side by side": b'{"x":[' + b",".join([b"[]"] * 100) + b"]}",
    "1,000 digits": b'{"x":-' + b"9" * 1000 + b"}",
    "the largest float": b'{"x":1.7976931348623157e308}',
    "the smallest float": b'{"x":5e-324}',
    "underflow": b'{"x":1e-999}',
    "a surrogate pair": b'{"x":"\\ud83d\\ude00"}',
    "the same key in two objects": b'{"x":{"a":1},"y":{"a":1}}',
    "equal values": b'{"x":"x","y":"x"}',
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse(decode(body), LIMITS)


@pytest.mark.parametrize("body", [body for body, _ in REFUSED.values()], ids=REFUSED)
def test_refused_body_is_suspicious_unless_pydantic_refuses_it_or_it_has_a_key_twice(body: bytes) -> None:
    try:
        value = from_json(body)
    except ValueError:
        return
    has_key_twice = body.count(b":") > repr(value).count(":")
    assert has_key_twice or is_suspicious(body, LIMITS)


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_body_that_only_looks_dangerous_is_parsed(body: bytes) -> None:
    assert parse(decode(body), LIMITS) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [b'{"x": 2, "y": 3}', b'{"text": "hello, the \\u00e4 e12 in it"}', b'{"at": "2024-01-01T00:00:00Z", "n": -1.5e-10}'],
)
def test_usual_body_is_not_suspicious(body: bytes) -> None:
    assert not is_suspicious(body, LIMITS)


@pytest.mark.parametrize("digits_limit", [1, 5, 99, 100, 1000])
def test_digits_limit_holds_whatever_it_is(digits_limit: int) -> None:
    limits = FixedLimits(depth_limit=32, digits_limit=digits_limit)
    longest, longer = b"9" * digits_limit, b"9" * (digits_limit + 1)
    assert parse(longest.decode(), limits) == int(longest)
    assert is_suspicious(b'{"x":%s}' % longer, limits)
    with pytest.raises(MalformedError, match="digits"):
        parse(longer.decode(), limits)


_NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,5}|9{95,105}|9{305,312})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?\Z")
_STRINGS = st.from_regex(r'\A"([a-c \[\]{}:]|\\\\|\\"|\\u0000|\\u00e4|\\ud83d\\ude00|\\ud800|NaN|9{101}|1e999)*"\Z')
_VALUES = st.recursive(
    _NUMBERS | _STRINGS | st.sampled_from(["NaN", "-Infinity", "Infinity", "null", "true"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(_STRINGS, inner), max_size=4).map(
            lambda items: f"{{{','.join(f'{key}:{value}' for key, value in items)}}}"
        )
    ),
    max_leaves=8,
)


def _refusal(text: str) -> str | None:
    try:
        parse(text, LIMITS)
    except MalformedError as error:
        return str(error)
    return None


@given(_VALUES)
@example("[" * 33 + "]" * 33)
@example("9" * 309 + ".0")
@example("1" + "0" * 98 + "e+0099")
def test_unsuspicious_text_that_pydantic_takes_is_refused_for_duplicate_keys_only(text: str) -> None:
    try:
        from_json(text)
    except ValueError:
        assert _refusal(text) is not None
        return
    if not is_suspicious(text.encode(), LIMITS):
        assert _refusal(text) is None or "occurs twice" in str(_refusal(text))


@given(_VALUES)
def test_what_is_parsed_holds_nothing_that_cannot_be_stored(text: str) -> None:
    if _refusal(text) is None:
        stored = json.dumps(parse(text, LIMITS), ensure_ascii=False, allow_nan=False)
        assert "\\u0000" not in stored.replace("\\\\", "")
        stored.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 40 + b'"' + b'\\"' * 120_000,
        b'{"x":"' + b"\\\\" * 120_000 + b'u0000"}',
        b"[" * 250_000,
        b"[]," * 80_000,
        b'{"x":[' + b",".join([b"9" * 99] * 2_500) + b"]}",
        b"{" + b",".join(b'"k%d":1' % number for number in range(25_000)) + b',"k9":1}',
    ],
    ids=["open string", "backslashes", "open brackets", "brackets", "digits", "keys"],
)
def test_no_body_takes_more_than_linear_time(body: bytes) -> None:
    # A quadratic pass over 250 KB takes minutes; a linear one some 10 ms, on a slow machine too.
    started = time.process_time()
    is_suspicious(body, LIMITS)
    _refusal(decode(body))
    assert time.process_time() - started < 5


RESULTS = [0, "", False, [], {}, None, 1e16, -0.0, 5e-324, 10**1999 + 7, -(10**1000), "ä\u2028😀", {"a": [1, {"b": None}]}]


@pytest.mark.parametrize("value", RESULTS, ids=lambda value: repr(value)[:20])
def test_result_keeps_its_value(value: Any) -> None:
    again = json.loads(encode_result(value, MEBIBYTE))
    assert (again, type(again)) == (value, type(value))
    assert not isinstance(value, float) or math.copysign(1, again) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), '"2024-01-02T03:04:05Z"'),
        (date(2024, 1, 2), '"2024-01-02"'),
        (timedelta(hours=1), '"PT1H"'),
        (UUID_1, f'"{UUID_1}"'),
        (Decimal("1.50"), '"1.50"'),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        ((1, 2), "[1,2]"),
        ({7}, "[7]"),
        (b"abc", '"abc"'),
        (Model(), '{"any_value":1,"number":1.0}'),
        (Model(any_value=None), '{"any_value":null,"number":1.0}'),
        (Point(1, 2.5), '{"x":1,"y":2.5}'),
        ([Point(Model(), 1.0)], '[{"x":{"any_value":1,"number":1.0},"y":1.0}]'),
        ({1: "a", None: "b"}, '{"1":"a","null":"b"}'),
        ({UUID_1: {Colour.RED: 1.0}}, f'{{"{UUID_1}":{{"red":1.0}}}}'),
        ("\\u0000", '"\\\\u0000"'),
    ],
)
def test_result_of_a_typed_value_is_written_as_pydantic_does(value: Any, text: str) -> None:
    assert encode_result(value, MEBIBYTE) == text


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _tower() -> list[Any]:
    tower: list[Any] = []
    for _ in range(100_000):
        tower = [tower]
    return tower


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: NAN, "NaN"),
        (lambda: [{"a": -INFINITY}], "NaN and infinities"),
        (lambda: {NAN}, "NaN"),
        (lambda: {UUID_1: NAN}, "NaN"),
        (lambda: Model(number=NAN), "NaN"),
        (lambda: Model(any_value=NAN), "NaN"),
        (lambda: Model(any_value=[Point((INFINITY,))]), "NaN"),
        (lambda: Point(NAN), "NaN"),
        (lambda: [Point({"a": {INFINITY}})], "NaN"),
        (lambda: "a\0b", "NUL"),
        (lambda: {"\0": 1}, "NUL"),
        (lambda: Model(any_value="\0"), "NUL"),
        (lambda: "\ud800", "surrogate"),
        (lambda: {"\udfff": 1}, "surrogate"),
        (lambda: {UUID_1: "\ud800"}, "surrogate"),
        (object, "class 'object'"),
        (lambda: print, "no type that JSON can say"),
        (lambda: ValueError("boom"), "ValueError"),
        (lambda: b"\xff", "UTF-8"),
        (lambda: 10**4300, "4,300 digits"),
        (lambda: Model(any_value=10**4300), "4,300 digits"),
        (_cycle, "refers to itself"),
        (_tower, "too deeply"),
        (lambda: "x" * MEBIBYTE, "1048578 bytes of JSON, the limit is 1048576"),
        (lambda: "ä" * 524_288, "1048578 bytes"),
    ],
)
def test_result_that_is_not_json_is_refused_with_its_reason(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(ResultError, match=reason):
        encode_result(make(), MEBIBYTE)


def test_result_as_long_as_the_limit_is_taken() -> None:
    assert encode_result("ä" * 4, 10) == '"ääää"'


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_PLAIN)
def test_every_plain_value_comes_back_or_is_refused(value: Any) -> None:
    try:
        text = encode_result(value, MEBIBYTE)
    except ResultError:
        assert "\\u0000" in json.dumps(value) or "\\ud" in json.dumps(value)
    else:
        assert repr(json.loads(text)) == repr(value)


def test_dumps_raises_for_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dumps([NAN])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"x":2,"y":3}', '{ "y" : 3,\n "x" : 2 }'),
        ('{"x":{"a":1,"b":[1,2]}}', '{"x":{"b":[1,2],"a":1}}'),
        ('{"x":"\\u0041\\/"}', '{"x":"A/"}'),
    ],
)
def test_canonical_is_the_same_for_the_same_arguments(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"x":1}', '{"x":1.0}'),
        ('{"x":1}', '{"x":"1"}'),
        ('{"x":1}', '{"x":true}'),
        ('{"x":[1,2]}', '{"x":[2,1]}'),
        ('{"x":0.1}', '{"x":0.1000000000000000001}'),
        ('{"x":1}', '{"x":1,"y":null}'),
        ('{"x":9007199254740993}', '{"x":9007199254740992}'),
    ],
)
def test_canonical_differs_for_other_arguments(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "value", [INFINITY, [1, (2, {"a": NAN})], {INFINITY}, Model(number=INFINITY), Point(Model(any_value=[NAN]))]
)
def test_infinity_is_found_at_any_depth(value: Any) -> None:
    assert has_infinity(value)


@pytest.mark.parametrize("value", [1e308, "inf", [1, {"a": None}], Model(), Point(_cycle()), 10**400])
def test_finite_value_has_no_infinity(value: Any) -> None:
    assert not has_infinity(value)
