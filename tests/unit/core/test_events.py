"""The page for operators speaks of what is logged."""

import re
from pathlib import Path

import pytest

from core.events import Event

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SHOWN = sorted(set(re.findall(r"^\[\w+ *\] (\w+\.\w+) ", PAGE, flags=re.MULTILINE)))


def test_page_shows_lines() -> None:
    assert len(SHOWN) >= 10


@pytest.mark.parametrize("name", SHOWN)
def test_event_on_the_page_is_logged(name: str) -> None:
    assert name in list(Event)


@pytest.mark.parametrize(
    "event", [Event.STORE_LOST, Event.BROKER_LOST, Event.JOB_LOST, Event.JOBS_REPUBLISHED, Event.JOB_FENCED]
)
def test_warning_is_on_the_page(event: Event) -> None:
    assert event in SHOWN
