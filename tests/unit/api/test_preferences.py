"""api.preferences: Prefer: wait=N (RFC 7240)."""

import time

import pytest

from api.preferences import applied, preferred_wait_s


def wait_of(*values: str) -> float:
    headers = [(b"host", b"localhost"), *((b"prefer", value.encode("latin-1")) for value in values)]
    return preferred_wait_s(headers, 60.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("wait=10", 10),
        ("Wait = 5", 5),
        ('wait="7"', 7),
        ("respond-async, wait=10", 10),
        ("wait=10;foo=bar, respond-async", 10),
        ('x="a,wait=3", wait=4', 4),
        ("handling=lenient,wait=1", 1),
    ],
)
def test_wait_is_found_among_other_preferences(value: str, seconds: int) -> None:
    assert wait_of(value) == seconds


@pytest.mark.parametrize(
    "value", ["wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "wait=1 0", "waiting=5", '"', "", ",", "é"]
)
def test_malformed_preference_is_ignored(value: str) -> None:
    assert wait_of(value) == 0


def test_more_than_the_limit_is_the_limit() -> None:
    assert wait_of("wait=61") == 60
    assert wait_of("wait=999999999") == 60


def test_first_of_several_counts() -> None:
    assert wait_of("wait=3, wait=4") == 3
    assert wait_of("respond-async", "wait=3", "wait=4") == 3
    assert wait_of("wait=x, wait=4") == 0


def test_no_header_is_no_preference() -> None:
    assert preferred_wait_s([(b"host", b"localhost")], 60.0) == 0


@pytest.mark.parametrize("value", ['"' * 60_000, ',"' * 30_000, "wait" * 15_000, '"\\' * 30_000])
def test_absurd_header_takes_no_time(value: str) -> None:
    began = time.process_time()
    assert wait_of(value) == 0
    assert time.process_time() - began < 0.5


def test_applied_wait_is_named() -> None:
    assert applied(60.0) == "wait=60"
