"""What a person reads in the terminal."""

import re
from pathlib import Path

import pytest

from core.console_lines import ConsoleLines

TIME = "2026-01-02T03:04:05Z"


def line(colours: bool = False, level: str = "info", **fields: object) -> str:
    return ConsoleLines(colours)(None, level, {"event": "job.finished", "level": level, "timestamp": TIME, **fields})


def test_fields_follow_the_event_in_their_order() -> None:
    assert line(part="worker", attempt=1) == f"{TIME} [info    ] job.finished         part=worker attempt=1"


@pytest.mark.parametrize("value", ["two\nlines", "\x1b[31mred", "\r", "\x00"])
def test_value_cannot_forge_a_line_or_a_colour(value: str) -> None:
    shown = line(error=value)
    assert shown.isprintable()
    assert repr(value) in shown


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "unheard-of"])
def test_colours_change_nothing_else(level: str) -> None:
    coloured = line(colours=True, level=level, part="worker")
    assert "\033[" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) == line(level=level, part="worker")


def test_exception_is_shown_with_its_traceback() -> None:
    try:
        Path("/nowhere/at/all").read_text()
    except OSError as error:
        text = line(exc_info=error)
    assert "FileNotFoundError" in text
    assert "Traceback" in text
