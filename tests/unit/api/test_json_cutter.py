"""api.json_cutter: parts of a body, to the letter; the standard library's parser is the judge."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_cutter import JsonCutter, OversizedError
from core.errors import MalformedError

LIMIT = 100_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def cut_object(text: str, limit: int = LIMIT) -> dict[str, str]:
    cutter = JsonCutter(text, limit)
    assert cutter.enter("{")
    members = {}
    while (name := cutter.next_member()) is not None:
        members[name] = cutter.cut()
    cutter.finish()
    return members


def cut_array(text: str, limit: int = LIMIT) -> list[str]:
    cutter = JsonCutter(text, limit)
    assert cutter.enter("[")
    elements = []
    while cutter.next_element():
        elements.append(cutter.cut())
    cutter.finish()
    return elements


@given(value=st.dictionaries(st.text(), VALUES, max_size=5), indent=st.sampled_from([None, 1, "\t"]), is_ascii=st.booleans())
def test_members_are_cut_as_the_parser_reads_them(value: dict[str, Any], indent: int | str | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert {name: json.loads(part) for name, part in cut_object(f" \r\n{text}\t").items()} == value


@given(value=st.lists(VALUES, max_size=5))
def test_elements_are_cut_as_the_parser_reads_them(value: list[Any]) -> None:
    assert [json.loads(part) for part in cut_array(json.dumps(value))] == value


def test_parts_are_cut_to_the_letter() -> None:
    args = '{ "b": 1e16,\n"a": -0.0, "n": 1.10, "big": ' + "9" * 5000 + ', "é": "\\u00e9"}'
    assert cut_object(f'{{"args":{args} , "task" : "add"}}') == {"args": args, "task": '"add"'}


@given(
    value=st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    place=st.integers(0, 60),
    piece=st.sampled_from(['"', ",", ":", "{", "}", "[", "]", "\\", "1", "-", "e", "\n", "\x00", "null", "'", "#"]),
    length=st.integers(0, 2),
)
def test_what_the_parser_refuses_is_refused(value: dict[str, Any], place: int, piece: str, length: int) -> None:
    text = json.dumps(value)
    text = "{" + text[1:place] + piece + text[place + length :] if place else text
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(MalformedError):
            cut_object(text)
    else:
        assert {name: json.loads(part) for name, part in cut_object(text).items()} == expected


@pytest.mark.parametrize("size", [4090, 4095, 4096, 4097, 65530, 65536, 65540, 99_990])
@pytest.mark.parametrize("filler", ["x", "\\n", "\\u20ac", "€", '\\"'])
def test_long_parts_are_cut_whole(size: int, filler: str) -> None:
    text = filler * (size // len(filler))
    assert cut_array(f'[{{"a": "{text}"}}, true, 12]') == [f'{{"a": "{text}"}}', "true", "12"]


@pytest.mark.parametrize("number", range(4080, 4100))
def test_numbers_and_literals_are_not_cut_at_the_end_of_a_window(number: int) -> None:
    inner = f'["{"x" * number}", -12.5e+10, true, "\\u00e9"]'
    assert cut_array(f"[{inner}, 1]") == [inner, "1"]
    assert cut_array(f"[{'1' * number}, 2]") == ["1" * number, "2"]


@pytest.mark.parametrize("text", ['{"a": "' + "x" * 200 + '"}', '{"a": [' + "1," * 100 + "1]}", '{"a": ' + "1" * 200 + "}"])
def test_part_over_the_limit_is_oversized(text: str) -> None:
    with pytest.raises(OversizedError):
        cut_object(text, limit=100)


def test_oversized_part_costs_no_memory() -> None:
    text = '{"a": [' + "[]," * 2_000_000 + "[]]}"
    tracemalloc.start()
    with pytest.raises(OversizedError):
        cut_object(text)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000_000


def test_absurd_nesting_is_malformed() -> None:
    with pytest.raises(MalformedError):
        cut_object('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", limit=1_000_000)


def test_error_says_where() -> None:
    with pytest.raises(MalformedError, match=r"line 3 column 7"):
        cut_object('{"a": 1,\n\n "b": nope}')
