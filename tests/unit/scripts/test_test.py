"""`./dev test` leaves no test out and hides no failure."""

from pathlib import Path

import pytest

from scripts.test import LEFT_OUT, exit_code, halves

TESTS = Path(__file__).resolve().parents[2]


def test_each_directory_with_tests_is_in_one_half() -> None:
    first, second = halves()
    with_tests = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert sorted(first + second) == sorted(f"tests/{name}" for name in with_tests - LEFT_OUT)


@pytest.mark.parametrize(
    ("first", "second", "both"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (0, 5, 0), (5, 0, 0), (1, 5, 1), (5, 5, 5), (2, 1, 2)]
)
def test_failure_of_either_half_is_a_failure(first: int, second: int, both: int) -> None:
    assert exit_code(first, second) == both
