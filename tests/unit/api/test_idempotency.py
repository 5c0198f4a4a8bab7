"""api.idempotency: fingerprints and keys."""

import pytest

from api.idempotency import check_key, fingerprint
from core.errors import InvalidArgumentsError

SAME = fingerprint("tasks.add", '{"x": 1, "y": [1.10, "\\u00e9"]}', {})


@pytest.mark.parametrize(
    "args", ['{"y":[1.10,"\\u00e9"],"x":1}', ' { "x" : 1 , "y" : [ 1.10 , "é" ] } '], ids=["order", "white-space"]
)
def test_fingerprint_does_not_depend_on_the_spelling(args: str) -> None:
    assert fingerprint("tasks.add", args, {}) == SAME


@pytest.mark.parametrize(
    ("task", "args", "options"),
    [
        ("tasks.sub", '{"x": 1, "y": [1.10, "é"]}', {}),
        ("tasks.add", '{"x": 2, "y": [1.10, "é"]}', {}),
        ("tasks.add", '{"x": "1", "y": [1.10, "é"]}', {}),
        ("tasks.add", '{"x": 1, "y": ["é", 1.10]}', {}),
        ("tasks.add", '{"x": 1, "y": [1.10, "é"]}', {"delay_s": "1.0"}),
    ],
    ids=["task", "value", "type", "list-order", "options"],
)
def test_fingerprint_depends_on_the_request(task: str, args: str, options: dict[str, str]) -> None:
    assert fingerprint(task, args, options) != SAME


def test_fingerprint_tells_numbers_apart_that_a_float_cannot() -> None:
    numbers = ["0.1", "0.10000000000000000001", "1" * 1000, "1" * 999 + "2"]
    assert len({fingerprint("t", f'{{"x": {number}}}', {}) for number in numbers}) == 4


@pytest.mark.parametrize("key", ["a", "a b", "~!", "k" * 255])
def test_printable_ascii_is_a_key(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "k" * 256, "é", "\x7f", "a\tb"])
def test_anything_else_is_no_key(key: str) -> None:
    with pytest.raises(InvalidArgumentsError):
        check_key(key)
