import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from standalone.console import Console
from standalone.events import Event

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)
    os.close(write_end)


def _shown(pipe: Pipe, log_format: Literal["console", "json"], *lines: bytes, is_coloured: bool = False) -> list[str]:
    console = Console(pipe[1], log_format, is_coloured=is_coloured)
    asyncio.run(console.show("worker-1", list(lines)))
    console.close()
    return os.read(pipe[0], 65536).decode().splitlines()


def test_each_line_begins_with_the_name_of_its_part(pipe: Pipe) -> None:
    assert _shown(pipe, "console", b"one", b"two") == ["worker-1   │ one", "worker-1   │ two"]


@pytest.mark.parametrize("end", ["part=worker-1", "\x1b[36mpart\x1b[0m=\x1b[35mworker-1\x1b[0m"])
def test_line_that_names_its_part_once_more_does_so_no_longer(pipe: Pipe, end: str) -> None:
    (line,) = _shown(pipe, "console", f"worker.drained {end}".encode(), is_coloured="\x1b" in end)
    assert line.endswith(" worker.drained")


def test_line_that_names_another_part_is_left_as_it_is(pipe: Pipe) -> None:
    assert _shown(pipe, "console", b"seen part=worker-12") == ["worker-1   │ seen part=worker-12"]


def test_names_are_coloured_on_a_terminal(pipe: Pipe) -> None:
    assert _shown(pipe, "console", b"one", is_coloured=True) == ["\x1b[36mworker-1   │\x1b[0m one"]


def test_json_lines_are_left_as_they_are(pipe: Pipe) -> None:
    assert _shown(pipe, "json", b'{"event": "job.accepted"}') == ['{"event": "job.accepted"}']


def test_line_that_is_not_json_is_wrapped_so_that_all_lines_are(pipe: Pipe) -> None:
    (line,) = _shown(pipe, "json", b"Traceback \xff", b"")
    assert json.loads(line) == {"event": "output.written", "part": "worker-1", "line": "Traceback \ufffd"}


def test_own_notices_are_sentences_for_people_and_fields_for_programs(pipe: Pipe) -> None:
    for log_format in ("console", "json"):
        console = Console(pipe[1], log_format, is_coloured=False)
        console.say(Event.SERVICE_STARTED, "ready", url="http://x")
        console.close()
    for_people, for_programs = os.read(pipe[0], 65536).decode().splitlines()
    assert for_people == "standalone │ ready"
    assert json.loads(for_programs).items() >= {"event": "service.started", "part": "standalone", "url": "http://x"}.items()


def test_stream_that_takes_no_more_holds_up_nobody_and_says_later_what_it_missed(pipe: Pipe) -> None:
    console = Console(pipe[1], "console", is_coloured=False)
    begun = time.monotonic()
    for _ in range(2000):  # much more than the pipe and the queue hold
        asyncio.run(console.show("api", [b"x" * 1000]))
    assert time.monotonic() - begun < 20  # and not a wait for each line
    console.say(Event.STOP_ASKED, "this is lost, and waits for nothing")
    reading = threading.Thread(target=_read_until, args=(pipe[0], b"lines are left out here"), daemon=True)
    reading.start()
    while reading.is_alive():
        asyncio.run(console.show("api", [b"another"]))
    console.close()


def _read_until(descriptor: int, end: bytes) -> None:
    text = b""
    while end not in text:
        text = text[-100:] + os.read(descriptor, 65536)


def test_stream_that_is_closed_ends_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    console = Console(write_end, "console", is_coloured=False)
    console.say(Event.PART_ENDED, "nobody reads this")
    console.close()
    os.close(write_end)
