"""When a main loop hangs, and when it does not: the machine is busy, the process was stopped, the loop has ended."""

import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from celery.worker import state
from structlog.testing import capture_logs

from worker.holdings import Holdings
from worker.hung_loop import GIVE_UP_AFTER_S, UNWELL_AFTER_S, HungLoop
from worker.loop_watch import LATE_S, LoopWatch, main_thread_stack
from worker.parent_reports import ParentReports

JOB = UUID(int=1)
TOKEN = UUID(int=2)
LIMIT_S = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reports:
    def __init__(self) -> None:
        self.given_back: list[UUID] = []

    def give_back(self, task_ids: list[UUID]) -> None:
        self.given_back += task_ids


class Rig:
    """A watch, the verdict on it, and a clock that a test moves on."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.watch = LoopWatch(self.clock)
        self.holdings = Holdings()
        self.reports = Reports()
        self.closed = 0
        reports = cast("ParentReports", self.reports)
        self.hung = HungLoop(self.watch, self.holdings, reports, self._close, self.clock)

    def _close(self) -> None:
        self.closed += 1

    def begin(self) -> None:
        self.turn()

    def turn(self) -> None:
        self.watch.turn(works=True)

    def looks(self, seconds: float, each: Callable[[], object] = lambda: None) -> list[bool]:
        """Look once a second for so long; return what each look says."""
        answers = []
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            each()
            answers.append(self.hung.is_well())
        return answers


@pytest.fixture
def rig() -> Iterator[Rig]:
    before = state.should_stop
    yield Rig()
    state.should_stop = before


def hold(rig: Rig, *, begun: bool) -> Any:
    task = SimpleNamespace(time_limit=LIMIT_S)
    request = SimpleNamespace(time_start=1.0 if begun else None, task=task)
    holder = type("Request", (), {})()
    holder.__dict__.update(request.__dict__)
    rig.holdings.add(TOKEN if begun else UUID(int=3), JOB if begun else UUID(int=4), holder)
    return holder


def test_loop_that_turns_and_consumes_is_well(rig: Rig) -> None:
    assert rig.looks(2) == [False, False]  # it has not begun
    rig.begin()
    assert all(rig.looks(60, each=rig.turn))


def test_loop_that_consumes_nothing_is_not_well(rig: Rig) -> None:
    rig.begin()
    assert not any(rig.looks(60, each=lambda: rig.watch.turn(works=False)))
    assert rig.closed == 0


def test_worker_that_waits_for_its_broker_is_well_however_long_a_try_takes(rig: Rig) -> None:
    rig.begin()
    rig.watch.let_off(works=True)
    assert all(rig.looks(600))
    rig.watch.turn(works=True)  # the broker is there again
    assert rig.looks(UNWELL_AFTER_S)[-1] is False


def test_loop_that_stands_still_is_ill_after_ten_seconds_and_given_up_after_twenty(rig: Rig) -> None:
    rig.begin()
    with capture_logs() as logs:
        answers = rig.looks(UNWELL_AFTER_S)
        assert answers == [True] * int(UNWELL_AFTER_S - 1) + [False]
        waiting = hold(rig, begun=False)
        rig.looks(GIVE_UP_AFTER_S - UNWELL_AFTER_S - 1)
        assert rig.reports.given_back == []
        rig.looks(5)
    assert waiting is not None
    assert (rig.reports.given_back, rig.closed, state.should_stop) == ([UUID(int=4)], 1, os.EX_SOFTWARE)
    assert [line["event"] for line in logs] == ["worker.hung", "worker.failed"]
    assert "test_loop_watch.py" in logs[0]["stack"]


def test_worker_ends_when_nothing_runs_any_more(rig: Rig) -> None:
    rig.begin()
    running = hold(rig, begun=True)
    rig.looks(GIVE_UP_AFTER_S - 1)
    assert not rig.hung.is_over({})
    rig.looks(1)
    assert not rig.hung.is_over({TOKEN: False})
    assert rig.hung.is_over({})
    rig.clock.now += LIMIT_S - 1.0
    assert not rig.hung.is_over({TOKEN: False})
    rig.clock.now += 1.0
    assert rig.hung.is_over({TOKEN: False})  # its time limit has passed, and nobody else enforces it
    assert running is not None


def test_no_verdict_while_the_looks_are_late_as_well(rig: Rig) -> None:
    rig.begin()
    for _ in range(30):
        rig.clock.now += LATE_S + 0.1
        assert rig.hung.is_well()
    assert rig.looks(UNWELL_AFTER_S)[-1] is False  # from here on the looks come in time


def test_process_that_was_stopped_gets_its_time_again(rig: Rig) -> None:
    rig.begin()
    rig.looks(UNWELL_AFTER_S - 1)
    rig.clock.now += 3600.0
    assert all(rig.looks(UNWELL_AFTER_S - 1))


def test_loop_that_has_ended_is_not_judged(rig: Rig) -> None:
    rig.begin()
    rig.watch.let_off(works=False)
    assert not any(rig.looks(600))
    assert rig.closed == 0


def test_loop_that_recovers_in_time_is_well_again_and_told_of_anew(rig: Rig) -> None:
    rig.begin()
    with capture_logs() as logs:
        for _ in range(2):
            rig.looks(GIVE_UP_AFTER_S - 2)
            assert all(rig.looks(5, each=rig.turn))
    assert [line["event"] for line in logs] == ["worker.hung"] * 2


def test_stack_is_the_main_threads() -> None:
    assert "test_stack_is_the_main_threads" in main_thread_stack()
