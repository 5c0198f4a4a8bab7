"""api.boundary: the name in a Host header."""

import pytest

from api.boundary import host_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:8000", "localhost"),
        ("localhost:", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8000", "[::1]"),
        ("::1", "::1"),
        ("localhost:x", "localhost:x"),
        ("a:1:2", "a:1"),
        ("", ""),
    ],
)
def test_port_is_cut_off_and_brackets_stay(host: str, name: str) -> None:
    assert host_name(host) == name
