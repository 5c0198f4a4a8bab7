"""JSON that keeps its value: what is refused in a request, and how results and arguments are written.

Python's and pydantic's parsers accept more than we may store or can give back: NaN, numbers that overflow to infinity, NUL
(PostgreSQL cannot hold it in text), duplicate keys (RFC 8259, section 4: the meaning is unpredictable). So `is_suspicious`
looks at a body's bytes in about a microsecond, and only what it points at takes the exact way, `parse`.

A result goes the other way through `encode_result`: it is JSON to the letter or a ResultError, never silently another value.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final, NoReturn, Protocol

from pydantic_core import to_jsonable_python

from core.errors import MalformedError, ResultError


class JsonLimits(Protocol):
    """How much a body may contain; Settings is one."""

    @property
    def depth_limit(self) -> int:
        """Deepest nesting of arrays and objects; the body itself is depth 1."""

    @property
    def digits_limit(self) -> int:
        """Most digits of an integer, of a float's whole part, fraction or exponent."""


@dataclass(frozen=True, slots=True)
class FixedLimits:
    """Limits that are not settings."""

    depth_limit: int
    digits_limit: int


#: An integer of fewer digits is no infinity as a float.
_FLOAT_DIGITS: Final = 309
#: A float overflows also with fewer digits and an exponent that makes up for them: below 100 digits and e100 it cannot.
_SAFE_DIGITS: Final = 100
#: Every digit to 0 and E to e: then one substring search finds any long number or any exponent of three digits.
_SHAPES: Final = bytes.maketrans(b"123456789E", b"000000000e")

#: A JSON string; one that never ends reaches to the end. Possessive, so that no input makes it quadratic.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)
_DIGITS: Final = re.compile(r"[0-9]+")
_BRACKET: Final = re.compile(r"[\[\]{}]")
#: In valid JSON a backslash stands only in strings, and an even number of them before `u` is no escape.
_NUL_ESCAPE: Final = re.compile(r"(?<!\\)(?:\\\\)*+\\u0000")
_BYTE_ORDER_MARK: Final = "\ufeff"
#: What `dumps` raises for a value that is not JSON; the last two come from properties of the value's own class.
NOT_JSON: Final = (ValueError, TypeError, RecursionError, LookupError, AttributeError)
#: Longest part of a client's own text in an error.
_SHOWN: Final = 40


def decode(body: bytes) -> str:
    """Return the body as text. Raises MalformedError if it is not UTF-8 or starts with a byte order mark (RFC 8259, 8.1)."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8: byte {error.start} is wrong; encode it as UTF-8") from None
    if text.startswith(_BYTE_ORDER_MARK):
        raise MalformedError("the body starts with a byte order mark; send UTF-8 without it")
    return text


def is_suspicious(body: bytes, limits: JsonLimits) -> bool:
    """Tell whether the body might hold something that `parse` refuses and pydantic accepts, except duplicate keys.

    False is certain. True may be a false alarm: a string that reads "NaN", an integer of 200 digits.
    """
    shape = body.translate(_SHAPES)
    run = min(limits.digits_limit + 1, _SAFE_DIGITS)
    return (
        b"NaN" in body
        or b"Infinity" in body
        or b"\\u0000" in body
        or b"e000" in shape
        or b"e+000" in shape
        or (len(body) > run and b"0" * run in shape)
        or body.count(b"{") + body.count(b"[") > limits.depth_limit
    )


def has_number_beyond_float(body: bytes) -> bool:
    """Tell whether the body might hold an integer that overflows as a float. False is certain."""
    return len(body) > _FLOAT_DIGITS and b"0" * _FLOAT_DIGITS in body.translate(_SHAPES)


def parse(text: str, limits: JsonLimits) -> Any:
    """Return the value of strict JSON. Raises MalformedError with the reason."""
    _check_depth(text, limits.depth_limit)
    try:
        value = _decoder(limits.digits_limit).decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedError(f"the body is not JSON: {error.msg} ({where})") from None
    if _NUL_ESCAPE.search(text):
        raise MalformedError("a string holds the character NUL (\\u0000), which is not accepted; leave it out")
    if "\\u" in text and not _is_unicode(value):
        raise MalformedError("a string holds half of a surrogate pair (\\ud800 to \\udfff alone); send the whole character")
    return value


def dumps(value: Any) -> str:
    """Return compact JSON; pydantic models, dataclasses, datetimes, UUIDs, enums, Decimals, sets as pydantic writes them.

    Raises one of NOT_JSON for what JSON cannot say, above all NaN and infinities.
    """
    try:
        return _encode(value)
    except TypeError:
        # A key that is neither text nor a number: pydantic knows UUIDs, enums and dates as keys too.
        return _encode(_to_jsonable(value))


def encode_result(value: Any, limit_bytes: int) -> str:
    """Return the JSON text of a task's return value. Raises ResultError: not JSON, or longer than limit_bytes in UTF-8."""
    try:
        text = dumps(value)
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except RecursionError:
        raise ResultError("the result is nested too deeply for JSON; return a flatter value") from None
    except UnicodeEncodeError:
        raise ResultError("the result holds half of a surrogate pair, which is no character; clean the text first") from None
    except NOT_JSON as error:
        raise ResultError(f"the result is not JSON: {explain(error)}") from error
    if "\\u0000" in text and _NUL_ESCAPE.search(text):
        raise ResultError("the result holds the character NUL, which is not accepted; remove it from the text")
    if size_bytes > limit_bytes:
        raise ResultError(f"the result has {size_bytes} bytes of JSON, the limit is {limit_bytes}; return a reference")
    return text


def canonical(args: str) -> str:
    """Return a text that is the same for the same arguments, in any order of keys and with any white space: a fingerprint.

    Numbers are compared as they are spelled: 1, 1.0 and 1e0 differ, and no digit is lost. The text is not for parsing.
    """
    # NUL cannot be in accepted strings: a number never meets a string of the same characters.
    return json.dumps(
        json.loads(args, parse_int="\0{}".format, parse_float="\0{}".format), sort_keys=True, separators=(",", ":")
    )


def has_infinity(value: Any) -> bool:
    """Tell whether a float in value, at any depth, is not finite: looks into containers, models and dataclasses."""
    seen: set[int] = set()
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif not isinstance(item, str | bytes | int) and item is not None and id(item) not in seen:
            seen.add(id(item))
            rest.extend(_members(item))
    return False


def explain(error: Exception) -> str:
    """Return why `dumps` could not write a value, and what to write instead."""
    message = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "it holds bytes that are no UTF-8 text; return text, or the bytes as base64"
    if "Out of range float" in message:
        return "NaN and infinities have no JSON; return null or a string"
    if "integer string conversion" in message:
        return "an integer is longer than Python converts to text (4,300 digits); return it as hexadecimal text"
    if "Circular reference" in message:
        return "it refers to itself; return a value without cycles"
    if "Unable to serialize unknown type" in message:
        return f"{message.rpartition(': ')[2]} is no type that JSON can say; return plain values, a dataclass or a model"
    return f"{type(error).__name__}: {message}"


def shorten(text: str) -> str:
    """Return text, cut where it is too long to be repeated in an error."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _members(item: Any) -> Iterable[Any]:
    if isinstance(item, Mapping):
        return item.values()
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if is_dataclass(item) and not isinstance(item, type):
        return [getattr(item, field.name, None) for field in fields(item)]
    if hasattr(item, "__pydantic_fields_set__"):
        return chain(vars(item).values(), (item.__pydantic_extra__ or {}).values())
    return ()


def _check_depth(text: str, limit: int) -> None:
    if text.count("{") + text.count("[") <= limit:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > limit:
            raise MalformedError(f"the body is nested deeper than {limit} levels; send a flatter value")


@lru_cache(maxsize=4)
def _decoder(digits_limit: int) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=partial(_parse_int, limit=digits_limit),
        parse_float=partial(_parse_float, limit=digits_limit),
        parse_constant=_refuse_constant,
        object_pairs_hook=_object_without_duplicates,
    )


def _parse_int(literal: str, limit: int) -> int:
    _check_digits(literal, limit)
    return int(literal)


def _parse_float(literal: str, limit: int) -> float:
    _check_digits(literal, limit)
    number = float(literal)
    if math.isinf(number):
        raise MalformedError(f"the number {shorten(literal)} is too large for a float; send a smaller one, or a string")
    return number


def _check_digits(literal: str, limit: int) -> None:
    if len(literal) > limit and (digits := max(map(len, _DIGITS.findall(literal)))) > limit:
        raise MalformedError(f"a number has {digits} digits, the limit is {limit}; send a shorter one, or a string")


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} is not JSON; send null or a string")


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise MalformedError(f"the key {shorten(twice)!r} occurs twice in one object; send it once")
    return members


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_jsonable(value: Any) -> Any:
    plain = to_jsonable_python(value)
    # pydantic writes a non-finite float in an untyped field of a model or dataclass as null: another value.
    if _has_null(plain) and has_infinity(value):
        raise ValueError("Out of range float values are not JSON compliant")
    return plain


def _has_null(plain: Any) -> bool:
    rest = [plain]
    while rest:
        item = rest.pop()
        if item is None:
            return True
        if isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, dict):
            rest.extend(item.values())
    return False


_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_to_jsonable).encode
