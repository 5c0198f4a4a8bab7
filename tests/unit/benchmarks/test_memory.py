"""How memory is read, and how the processes of the whole are told apart."""

import os

import pytest

from benchmarks.memory import label_of, pss_mib


@pytest.mark.parametrize(
    ("command_line", "label"),
    [
        (b"/x/pginstall18/bin/postgres\0-D\0/data/postgres\0", "postgres"),
        (b"postgres: checkpointer \0", "postgres"),
        (b"/x/_binaries/linux/valkey-server unixsocket:/run/valkey.sock\0", "valkey"),
        (b"python\0-P\0-m\0api\0", "api"),
        (b"python\0-P\0-m\0scheduler\0", "scheduler"),
        (b"python\0-P\0-m\0worker\0", "worker"),
        (b"python\0-m\0standalone\0--port\0" + b"8000\0--data-dir\0/data/postgres\0", "supervisor"),
    ],
)
def test_each_process_of_the_whole_belongs_to_a_part(command_line: bytes, label: str) -> None:
    assert label_of(command_line) == label


def test_a_process_has_memory_and_one_that_is_gone_has_none() -> None:
    assert pss_mib(os.getpid()) > 1
    assert pss_mib(2**22 + 1) == 0
