import threading
from typing import Any

from structlog.testing import capture_logs

from core.events import Event
from scheduler.crew import Crew


class Waiting:
    """A duty that does nothing until it is told to stop."""

    def __init__(self) -> None:
        self.has_ended = False

    def run(self, stop: threading.Event) -> None:
        stop.wait()
        self.has_ended = True


class Failing:
    def run(self, stop: threading.Event) -> None:
        raise ValueError("a defect")


class Hanging:
    def __init__(self) -> None:
        self.release = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.release.wait()


def crew(stop: threading.Event, **runners: Any) -> Crew:
    return Crew(runners, stop)


def test_all_duties_end_when_told_to() -> None:
    stop, first, second = threading.Event(), Waiting(), Waiting()
    stop.set()
    assert crew(stop, first=first, second=second).run() is True
    assert (first.has_ended, second.has_ended) == (True, True)


def test_a_duty_that_dies_ends_the_others_and_is_told() -> None:
    stop, waiting = threading.Event(), Waiting()
    with capture_logs() as logs:
        assert crew(stop, waiting=waiting, failing=Failing()).run() is False
    assert waiting.has_ended
    assert [(entry["event"], entry["duty"]) for entry in logs] == [(Event.SCHEDULER_FAILED, "failing")]


def test_a_duty_that_hangs_does_not_keep_the_process() -> None:
    stop, hanging = threading.Event(), Hanging()
    stop.set()
    assert crew(stop, hanging=hanging).run() is True
    hanging.release.set()
