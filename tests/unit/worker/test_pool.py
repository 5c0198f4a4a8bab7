"""The pool with real processes: each call ends once, whatever becomes of its process."""

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, WorkerLostError
from celery import signals
from celery.worker import state
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from tests.engines import wait_until
from tests.processes import is_zombie, resident_mib
from worker.memory_watch import MemoryLimitExceeded, MemoryWatch
from worker.outcome import exception_json
from worker.pool import MAX_STILLBIRTHS, TaskPool
from worker.slot import MOST_AHEAD, Slot

LIMIT_S = 10.0

MIB = 1024 * 1024
ROOM_MIB = 100


def wait_for(is_reached: Callable[[], Any]) -> None:
    """Wait, in the process of a call, or while the loop stands still."""
    wait_until(is_reached, LIMIT_S, "what was waited for")


class Loop:
    """As much of kombu's event loop as the pool uses."""

    def __init__(self) -> None:
        self.readers: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.timers: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []

    def add_reader(self, descriptor: int, callback: Callable[..., Any], *args: Any) -> None:
        self.readers[descriptor] = callback, args

    def remove(self, descriptor: int) -> None:
        del self.readers[descriptor]

    def fire_timers(self) -> None:
        """Timers are run_until()'s."""

    def call_later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> None:
        self.timers.append((time.monotonic() + delay_s, callback, args))

    def run_until(self, is_reached: Callable[[], Any]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not is_reached():
            assert time.monotonic() < deadline, "waited in vain"
            # Timers first, as kombu: none strikes between what was waited for and the end of the wait.
            due = [timer for timer in self.timers if timer[0] <= time.monotonic()]
            self.timers = [timer for timer in self.timers if timer not in due]
            for _, callback, args in due:
                callback(*args)
            for descriptor in select.select(list(self.readers), [], [], 0.01)[0]:
                callback, args = self.readers[descriptor]
                callback(*args)

    def run_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.run_until(lambda: time.monotonic() >= until)


class Acknowledgements:
    def __init__(self) -> None:
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@dataclass
class PoolSettings:
    memory_limit_mib: int = 0


@dataclass
class App:
    acknowledgements: Acknowledgements = field(default_factory=Acknowledgements)
    settings: PoolSettings = field(default_factory=PoolSettings)


#: Of the newest rig, for what its pool processes run.
APP: list[Any] = []


@dataclass
class Ending:
    """What Celery was told about one call."""

    pid: int = 0
    returned: list[Any] = field(default_factory=list)
    raised: list[BaseException] = field(default_factory=list)
    timeouts: list[tuple[bool, float]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return bool(self.returned or self.raised or (False, 0.2) in self.timeouts)


class Rig:
    def __init__(self, slots: int, memory_limit_mib: int = 0) -> None:
        self._slots = slots
        self.app = App(settings=PoolSettings(memory_limit_mib))
        APP[:] = [self.app]
        self.start()

    def start(self) -> None:
        self.loop = Loop()
        self.pool = TaskPool(self._slots, app=self.app, initargs=(), semaphore=LaxBoundedSemaphore(self._slots))
        self.pool.start()
        self.pool.register_with_event_loop(self.loop)

    def apply(
        self, function: Callable[..., Any], *args: Any, soft: float | None = None, hard: float | None = None
    ) -> Ending:
        ending = Ending()

        def accept(pid: int, _at: float) -> None:
            ending.pid = pid

        self.pool.apply_async(
            function,
            args=args,
            accept_callback=accept,
            callback=ending.returned.append,
            error_callback=lambda info: ending.raised.append(getattr(info.exception, "exc", info.exception)),
            timeout_callback=lambda is_soft, limit_s: ending.timeouts.append((is_soft, limit_s)),
            soft_timeout=soft,
            timeout=hard,
            correlation_id="1",
        )
        return ending

    def begin(
        self, path: Path, function: Callable[..., Any], *args: Any, soft: float | None = None, hard: float | None = None
    ) -> Ending:
        """Give a call that makes this path. The loop stands still until then: its limits do not strike before it runs."""
        ending = self.apply(function, *args, soft=soft, hard=hard)
        self.loop.run_until(lambda: ending.pid)
        wait_for(path.exists)
        return ending

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The only process begins nothing meanwhile: however slowly they are given, it finds all calls there."""
        (slot,) = self.pool._slots
        self.loop.run_until(lambda: slot.is_ready)
        os.kill(slot.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(slot.pid, signal.SIGCONT)

    def restart(self) -> None:
        self.pool.terminate()
        self.start()

    def run(self, *endings: Ending) -> None:
        self.loop.run_until(lambda: all(ending.is_over for ending in endings))


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr("worker.pool.process_initializer", lambda: None)
    rig = Rig(1)
    yield rig
    rig.pool.terminate()


def fail(message: str) -> None:
    raise ValueError(message)


def leave() -> None:
    raise SystemExit(3)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touch_and_sleep(path: Path, seconds: float) -> None:
    path.touch()
    time.sleep(seconds)


def ignore_the_soft_limit(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            path.touch()
            time.sleep(LIMIT_S)
        except SoftTimeLimitExceeded:
            continue


def take(mib: int, seconds: float, path: Path) -> int:
    """Have so much memory for so long."""
    taken = bytearray(mib * MIB)
    touch_and_sleep(path, seconds)
    return len(taken)


LEAK: list[bytearray] = []


def leak(mib: int) -> int:
    LEAK.append(bytearray(mib * MIB))
    return os.getpid()


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A pool whose processes may take ROOM_MIB more than they have at rest, and are looked at often."""
    monkeypatch.setattr("worker.pool.process_initializer", lambda: None)
    monkeypatch.setattr("worker.memory_watch.LOOK_INTERVAL_S", 0.05)
    rig = Rig(1, memory_limit_mib=resident_mib(os.getpid()) + ROOM_MIB)
    yield rig
    rig.pool.terminate()


def test_call_runs_in_another_process_and_its_result_comes_back(rig: Rig) -> None:
    ending = rig.apply(os.getpid)
    rig.run(ending)
    assert ending.returned == [ending.pid]
    assert ending.pid != os.getpid()


def test_large_values_pass_both_ways(rig: Rig) -> None:
    text = "x" * 3_000_000
    ending = rig.apply(str.upper, text)
    rig.run(ending)
    assert ending.returned == [text.upper()]


def test_more_calls_than_slots_run_in_their_order(rig: Rig) -> None:
    endings = [rig.apply(abs, -number) for number in range(20)]
    rig.run(*endings)
    assert [ending.returned for ending in endings] == [[number] for number in range(20)]


def test_exception_comes_back_and_the_process_goes_on(rig: Rig) -> None:
    first, second = rig.apply(fail, "no"), rig.apply(os.getpid)
    rig.run(first, second)
    assert [repr(error) for error in first.raised] == ["ValueError('no')"]
    assert second.returned == [first.pid]


@pytest.mark.parametrize(("end", "error"), [(leave, SystemExit), (kill_itself, WorkerLostError)])
def test_process_that_ends_is_replaced_and_only_its_own_call_suffers(
    rig: Rig, end: Callable[[], None], error: type[BaseException]
) -> None:
    first, second = rig.apply(end), rig.apply(os.getpid)
    rig.run(first, second)
    assert [type(raised) for raised in first.raised] == [error]
    assert second.returned == [second.pid]
    assert second.pid != first.pid


def test_soft_limit_raises_in_the_call(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    ending, after = rig.begin(path, touch_and_sleep, path, LIMIT_S, soft=0.1, hard=5.0), rig.apply(os.getpid)
    rig.run(ending, after)
    assert [type(raised) for raised in ending.raised] == [SoftTimeLimitExceeded]
    assert ending.timeouts == [(True, 0.1)]
    assert after.returned == [ending.pid]


def test_hard_limit_ends_the_process(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    ending, after = rig.begin(path, ignore_the_soft_limit, path, soft=0.1, hard=0.2), rig.apply(os.getpid)
    rig.run(ending, after)
    assert ending.timeouts == [(True, 0.1), (False, 0.2)]
    assert not ending.raised
    assert after.pid != ending.pid


def test_limit_of_a_later_call_may_come_sooner(rig: Rig) -> None:
    rig.run(rig.apply(abs, 1, hard=60.0))
    ending = rig.apply(time.sleep, LIMIT_S, hard=0.2)
    rig.run(ending)
    assert ending.timeouts == [(False, 0.2)]


def test_limits_hold_after_the_event_loop_was_cleared(rig: Rig) -> None:
    ending = rig.apply(time.sleep, LIMIT_S, hard=0.2)
    rig.loop.run_until(lambda: ending.pid)
    rig.loop.readers.clear()
    rig.loop.timers.clear()
    rig.pool.register_with_event_loop(rig.loop)
    rig.run(ending)
    assert ending.timeouts == [(False, 0.2)]


def test_soft_limit_that_comes_too_late_does_no_harm(rig: Rig) -> None:
    first = rig.apply(os.getpid)
    rig.run(first)
    os.kill(first.pid, signal.SIGUSR1)
    second = rig.apply(os.getpid)
    rig.run(second)
    assert second.returned == first.returned


def test_idle_process_that_is_killed_is_replaced(rig: Rig) -> None:
    first = rig.apply(os.getpid)
    rig.run(first)
    os.kill(first.pid, signal.SIGKILL)
    second = rig.apply(os.getpid)
    rig.run(second)
    assert second.returned == [second.pid] or [type(raised) for raised in second.raised] == [WorkerLostError]
    third = rig.apply(os.getpid)
    rig.run(third)
    assert third.returned == [third.pid]


def test_flush_forgets_what_no_process_has(rig: Rig) -> None:
    running, *ahead, waiting = [rig.apply(time.sleep, 0.2 / (number + 1) ** 2) for number in range(MOST_AHEAD + 2)]
    rig.loop.run_until(lambda: running.pid)
    rig.pool.flush()
    after = rig.apply(os.getpid)
    rig.run(running, *ahead, after)
    assert not waiting.is_over


def begin_two(rig: Rig, path: Path, first_hard: float | None = None) -> tuple[Ending, Ending]:
    """Let a process go on with its second call while the worker has not heard of the first one's end."""
    first, second = rig.apply(time.sleep, 0.05, hard=first_hard), rig.apply(touch_and_sleep, path, 0.5)
    rig.loop.run_until(lambda: first.pid)
    wait_for(path.exists)
    assert not first.is_over
    return first, second


def test_signal_for_a_call_that_has_ended_does_not_reach_the_next(rig: Rig, tmp_path: Path) -> None:
    first, second = begin_two(rig, tmp_path / "second")
    (slot,) = rig.pool._slots
    slot.interrupt(slot.number)
    rig.run(first, second)
    assert (first.returned, second.returned, slot.number) == ([None], [None], 2)


def test_limit_of_a_call_that_has_ended_does_not_hit_the_next(rig: Rig, tmp_path: Path) -> None:
    first, second = begin_two(rig, tmp_path / "second", first_hard=0.1)
    time.sleep(0.1)
    (slot,) = rig.pool._slots
    slot.enforce_limits()
    rig.run(first, second)
    assert (first.returned, second.returned, slot.number) == ([None], [None], 2)


def hold_answers_back(log: Path) -> int:
    """Run as a short attempt whose outcome is written with those of the next ones."""
    APP[0].desk.hold()
    with log.open("a") as file:
        file.write("run\n")
    return os.getpid()


def test_calls_that_were_not_answered_are_lost_with_their_process(rig: Rig, tmp_path: Path) -> None:
    with rig.standing():
        first = rig.apply(hold_answers_back, tmp_path / "log")
        second, third = rig.apply(kill_itself), rig.apply(os.getpid)
    rig.run(first, second, third)
    assert [type(error) for error in first.raised + second.raised] == [WorkerLostError] * 2
    assert third.returned == [third.pid]


def test_call_that_its_process_had_not_begun_is_not_lost_with_it(rig: Rig, tmp_path: Path) -> None:
    """A process that is killed may have answered for the call before: then the worker takes the next for begun."""
    first, second = begin_two(rig, tmp_path / "second")
    third = rig.apply(os.getpid)
    (slot,) = rig.pool._slots
    slot.kill()
    wait_for(lambda: is_zombie(slot.pid))
    slot._board.begin(1)  # as if it had not come to the second call
    rig.run(first, second, third)
    assert (first.returned, second.returned, second.raised) == ([None], [None], [])
    assert third.returned == [second.pid]


def test_limit_is_kept_while_answers_are_held_back(rig: Rig, tmp_path: Path) -> None:
    with rig.standing():
        first = rig.apply(hold_answers_back, tmp_path / "log")
        second = rig.apply(time.sleep, LIMIT_S, soft=0.1, hard=5.0)
    rig.run(first, second)
    assert first.returned == [first.pid]
    assert [type(error) for error in second.raised] == [SoftTimeLimitExceeded]


def test_process_that_ends_gives_the_answers_that_it_held_back(rig: Rig, tmp_path: Path) -> None:
    first, second = rig.apply(hold_answers_back, tmp_path / "log"), rig.apply(leave)
    rig.run(first, second)
    assert first.returned == [first.pid]
    assert [type(error) for error in second.raised] == [SystemExit]
    assert (tmp_path / "log").read_text() == "run\n"


def has_begun(path: Path) -> bool:
    time.sleep(0.2)
    return path.exists()


@pytest.mark.parametrize(("slots", "memory_limit_mib"), [(2, 0), (1, 100_000)])
def test_call_that_another_process_could_run_and_call_under_a_memory_limit_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slots: int, memory_limit_mib: int
) -> None:
    monkeypatch.setattr("worker.pool.process_initializer", lambda: None)
    rig = Rig(slots, memory_limit_mib)
    rig.loop.run_until(lambda: all(slot.is_ready for slot in rig.pool._slots))
    running = [rig.apply(time.sleep, 0.05) for _ in range(slots)]
    waiting = rig.apply(touch_and_sleep, tmp_path / "begun", 0.0)
    rig.loop.run_until(lambda: all(one.pid for one in running))
    assert not has_begun(tmp_path / "begun")
    rig.run(*running, waiting)
    rig.pool.terminate()


def test_large_call_waits_until_its_process_is_free(rig: Rig, tmp_path: Path) -> None:
    running, large, last = (
        rig.apply(time.sleep, 0.05),
        rig.apply(len, "x" * 1_000_000),
        rig.apply(Path.touch, tmp_path / "last"),
    )
    rig.loop.run_until(lambda: running.pid)
    assert not has_begun(tmp_path / "last")
    rig.run(running, large, last)
    assert large.returned == [1_000_000]


def test_calls_ahead_of_a_process_that_dies_run_in_their_order_in_the_next(rig: Rig, tmp_path: Path) -> None:
    endings = [rig.apply(kill_itself), *(rig.apply(time.monotonic_ns) for _ in range(MOST_AHEAD + 3))]
    rig.run(*endings)
    times = [ending.returned[0] for ending in endings[1:]]
    assert times == sorted(times)
    assert endings[0].pid not in {ending.pid for ending in endings[1:]}


def test_stop_waits_for_what_runs_and_leaves_no_process(rig: Rig) -> None:
    ending = rig.apply(time.sleep, 0.3)
    rig.loop.run_until(lambda: ending.pid)
    rig.pool.stop()
    assert ending.returned == [None]
    assert rig.app.acknowledgements.flushes >= 1
    with pytest.raises(ProcessLookupError):
        os.kill(ending.pid, 0)


def restart_saying_good_bye(rig: Rig, path: Path) -> None:
    """Start processes that write their pid and exit code to path when Celery's signal says that they end."""

    def say_good_bye(pid: int, exitcode: int, **_: Any) -> None:
        path.write_text(f"{pid} {exitcode}")

    signals.worker_process_shutdown.connect(say_good_bye)
    try:
        rig.restart()
    finally:
        signals.worker_process_shutdown.disconnect(say_good_bye)


def test_process_says_good_bye_with_celerys_signal(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "good-bye"
    restart_saying_good_bye(rig, path)
    ending = rig.apply(os.getpid)
    rig.run(ending)
    rig.pool.stop()
    assert path.read_text() == f"{ending.pid} 0"


def test_call_that_ends_as_its_limit_strikes_is_told_and_the_next_gets_a_new_process(rig: Rig) -> None:
    ending = rig.apply(time.sleep, 0.1, hard=0.2)
    rig.loop.run_until(lambda: ending.pid)
    (slot,) = rig.pool._slots
    # The loop stands still while it answers, and then until its limit has passed.
    select.select([slot.stream], [], [], LIMIT_S)
    time.sleep(0.2)
    slot.enforce_limits()
    after = rig.apply(os.getpid)
    rig.run(ending, after)
    assert ending.returned == [None]
    assert after.returned == [after.pid]
    assert after.pid != ending.pid
    assert after.timeouts == []


def test_stop_enforces_the_limits(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    ending = rig.begin(path, ignore_the_soft_limit, path, soft=0.1, hard=0.2)
    rig.pool.stop()
    assert ending.timeouts == [(True, 0.1), (False, 0.2)]


def test_processes_that_never_get_ready_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", None)
    births = []
    fork = TaskPool._fork

    def count_and_fork(pool: TaskPool, index: int) -> Slot:
        births.append(index)
        return fork(pool, index)

    monkeypatch.setattr("worker.pool.process_initializer", kill_itself)
    monkeypatch.setattr(TaskPool, "_fork", count_and_fork)
    rig = Rig(1)
    rig.loop.run_until(lambda: state.should_stop)
    assert state.should_stop == os.EX_SOFTWARE
    assert births == [0] * (MAX_STILLBIRTHS + 1)
    rig.pool.terminate()


def test_callback_that_raises_does_not_stop_the_pool(rig: Rig) -> None:
    rig.pool.apply_async(
        os.getpid,
        args=(),
        accept_callback=lambda *_: None,
        callback=fail,
        error_callback=fail,
        timeout_callback=lambda *_: None,
    )
    ending = rig.apply(os.getpid)
    rig.run(ending)
    assert ending.returned


class StubbornError(Exception):
    """It can be pickled, but not made again."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def raise_stubborn() -> None:
    raise StubbornError("no", 1)


def return_stubborn() -> Exception:
    return StubbornError("no", 1)


@pytest.mark.parametrize("function", [raise_stubborn, return_stubborn, Lock])
def test_what_cannot_be_sent_is_told_as_a_failure(rig: Rig, function: Callable[[], Any]) -> None:
    ending, after = rig.apply(function), rig.apply(os.getpid)
    rig.run(ending, after)
    assert [type(raised) for raised in ending.raised] in ([TypeError], [StubbornError])
    assert after.returned == [ending.pid]


def fork_a_sleeper_and_die(path: Path) -> None:
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(LIMIT_S)
        os._exit(0)
    path.write_text(str(sleeper))
    kill_itself()


def test_death_is_noticed_though_a_grandchild_lives_on(rig: Rig, tmp_path: Path) -> None:
    begun_at = time.monotonic()
    ending = rig.apply(fork_a_sleeper_and_die, tmp_path / "pid")
    rig.run(ending)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert [type(raised) for raised in ending.raised] == [WorkerLostError]
    assert time.monotonic() - begun_at < LIMIT_S / 2


def test_process_that_does_not_get_ready_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("worker.slot.START_LIMIT_S", 0.3)
    mark = tmp_path / "mark"

    def hang_once() -> None:
        if not mark.exists():
            mark.touch()
            time.sleep(LIMIT_S)

    monkeypatch.setattr("worker.pool.process_initializer", hang_once)
    rig = Rig(1)
    wait_for(mark.exists)
    monkeypatch.setattr("worker.slot.START_LIMIT_S", LIMIT_S)  # that the next one gets ready, however busy the machine
    ending = rig.apply(os.getpid)
    rig.run(ending)
    assert ending.returned == [ending.pid]
    rig.pool.terminate()


def test_fork_that_fails_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.pool.REFILL_PAUSE_S", 0.1)
    fork, failures = TaskPool._fork, [OSError("no memory"), OSError("no memory")]

    def fail_twice(pool: TaskPool, index: int) -> Slot:
        if failures:
            raise failures.pop()
        return fork(pool, index)

    monkeypatch.setattr(TaskPool, "_fork", fail_twice)
    killed, after = rig.apply(kill_itself), rig.apply(os.getpid)
    rig.run(killed, after)
    assert after.returned == [after.pid]


def test_stopping_pool_begins_no_call(rig: Rig, tmp_path: Path) -> None:
    running = rig.apply(wait_for, (tmp_path / "closed").exists)
    rig.loop.run_until(lambda: running.pid)
    waiting = rig.apply(os.getpid)
    rig.pool.close()
    late = rig.apply(os.getpid)
    (tmp_path / "closed").touch()
    rig.pool.stop()
    assert running.returned == [None]
    assert not waiting.is_over
    assert not late.is_over


def test_soft_limit_says_how_long_it_was(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    ending = rig.begin(path, touch_and_sleep, path, LIMIT_S, soft=0.1, hard=5.0)
    rig.run(ending)
    assert json.loads(exception_json(ending.raised[0]) or "") == {
        "type": "SoftTimeLimitExceeded",
        "message": "the attempt ran longer than its soft time limit of 0.1 s",
    }


def test_call_beyond_the_memory_limit_ends_with_its_process_and_the_next_gets_a_new_one(tight: Rig, tmp_path: Path) -> None:
    greedy, after = tight.apply(take, 2 * ROOM_MIB, LIMIT_S, tmp_path / "taken"), tight.apply(os.getpid)
    tight.run(greedy, after)
    assert [type(error) for error in greedy.raised] == [MemoryLimitExceeded]
    assert re.fullmatch(
        r"the attempt's process used \d+ MiB, more than its limit of \d+ MiB \(MEMORY_LIMIT_MIB\)", str(greedy.raised[0])
    )
    assert greedy.timeouts == []
    assert after.returned == [after.pid]
    assert after.pid != greedy.pid


def test_call_within_the_memory_limit_goes_on_under_its_time_limits(tight: Rig, tmp_path: Path) -> None:
    path = tmp_path / "taken"
    ending = tight.begin(path, take, ROOM_MIB // 4, LIMIT_S, path, soft=0.3, hard=5.0)
    tight.run(ending)
    assert [type(error) for error in ending.raised] == [SoftTimeLimitExceeded]


def test_process_that_has_leaked_is_replaced_before_its_next_call(tight: Rig) -> None:
    leaky = tight.apply(leak, ROOM_MIB * 3 // 4)
    tight.run(leaky)
    (slot,) = tight.pool._slots
    tight.loop.run_until(lambda: slot not in tight.pool._slots)
    after = tight.apply(os.getpid)
    tight.run(after)
    assert leaky.returned == [leaky.pid]
    assert after.returned == [after.pid]
    assert after.pid != leaky.pid


def test_slow_leak_costs_processes_and_no_call(tight: Rig) -> None:
    endings = []
    for _ in range(60):
        endings.append(tight.apply(leak, ROOM_MIB // 20))
        tight.run(endings[-1])
        tight.loop.run_for(0.02)
    assert [ending.returned for ending in endings] == [[ending.pid] for ending in endings]
    assert 2 <= len({ending.pid for ending in endings}) <= 8


def test_leak_of_many_short_calls_is_seen_between_two_of_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.memory_watch.LOOK_INTERVAL_S", LIMIT_S)
    monkeypatch.setattr("worker.memory_watch.REST_INTERVAL_S", 0.0)
    rig.app.settings.memory_limit_mib = resident_mib(os.getpid()) + ROOM_MIB
    rig.restart()
    endings = [rig.apply(leak, ROOM_MIB // 5) for _ in range(10)]
    rig.run(*endings)
    assert [ending.returned for ending in endings] == [[ending.pid] for ending in endings]
    assert len({ending.pid for ending in endings}) > 1


def test_retired_process_says_good_bye(tight: Rig, tmp_path: Path) -> None:
    path = tmp_path / "good-bye"
    restart_saying_good_bye(tight, path)
    leaky = tight.apply(leak, ROOM_MIB * 3 // 4)
    tight.run(leaky)
    (slot,) = tight.pool._slots
    tight.loop.run_until(lambda: slot not in tight.pool._slots)
    assert path.read_text() == f"{leaky.pid} 0"


def test_process_that_gives_back_what_its_call_took_is_kept(tight: Rig, tmp_path: Path) -> None:
    first, second = tight.apply(take, ROOM_MIB * 3 // 4, 0.3, tmp_path / "taken"), tight.apply(os.getpid)
    tight.run(first, second)
    assert second.returned == [first.pid]


def test_process_is_kept_that_has_more_than_the_limit_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.pool.process_initializer", lambda: None)
    # Looked at when its call has ended, not while it runs: that one would be killed.
    monkeypatch.setattr("worker.memory_watch.LOOK_INTERVAL_S", LIMIT_S)
    monkeypatch.setattr("worker.memory_watch.REST_INTERVAL_S", 0.0)
    rig = Rig(1, memory_limit_mib=1)
    first = rig.apply(os.getpid)
    rig.run(first)
    (slot,) = rig.pool._slots
    rig.loop.run_until(lambda: slot.deadline() is None)  # it has been looked at
    second = rig.apply(os.getpid)
    rig.run(second)
    rig.pool.terminate()
    assert second.returned == [first.pid]


def test_memory_is_never_read_without_a_limit_and_never_while_nothing_runs(
    rig: Rig, tight: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[MemoryWatch] = []
    monkeypatch.setattr(MemoryWatch, "look", looks.append)
    ending = rig.apply(time.sleep, 0.3)
    rig.run(ending)
    for idle in (rig, tight):
        idle.loop.run_for(0.2)
    assert looks == []


def test_retired_process_that_does_not_go_is_killed(tight: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.slot.PARTING_LIMIT_S", 0.2)

    def stay(**_: Any) -> None:
        time.sleep(LIMIT_S)

    signals.worker_process_shutdown.connect(stay)
    try:
        tight.restart()
    finally:
        signals.worker_process_shutdown.disconnect(stay)
    leaky = tight.apply(leak, ROOM_MIB * 3 // 4)
    tight.run(leaky)
    (slot,) = tight.pool._slots
    tight.loop.run_until(lambda: slot not in tight.pool._slots)
    after = tight.apply(os.getpid)
    tight.run(after)
    assert after.returned == [after.pid]


def test_processes_that_leave_at_the_same_time_do_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.pool.process_initializer", lambda: None)
    monkeypatch.setattr(state, "should_stop", None)
    rig = Rig(MAX_STILLBIRTHS + 1)
    rig.loop.run_until(lambda: all(slot.is_ready for slot in rig.pool._slots))
    endings = [rig.apply(leave) for _ in rig.pool._slots]
    wait_for(lambda: all(is_zombie(ending.pid) for ending in endings))
    after = rig.apply(os.getpid)
    rig.run(*endings, after)
    rig.pool.terminate()
    assert state.should_stop is None
    assert after.returned == [after.pid]


def fork_a_sleeper_and_sleep(path: Path) -> None:
    path.write_text(str(subprocess.Popen(["sleep", str(3 * LIMIT_S)], start_new_session=True).pid))
    time.sleep(LIMIT_S)


def block_all_signals_and_sleep(path: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    touch_and_sleep(path, LIMIT_S)


def hang_in_c(path: Path) -> None:
    # Minutes, in which the interpreter runs no handler of a signal; the path is made when they have begun.
    sum(chain(map(os.open, [path], [os.O_CREAT]), range(10**12)))


@pytest.mark.parametrize("hang", [block_all_signals_and_sleep, hang_in_c])
def test_hard_limit_ends_what_no_signal_reaches(rig: Rig, tmp_path: Path, hang: Callable[[Path], None]) -> None:
    path = tmp_path / "begun"
    ending, after = rig.begin(path, hang, path, soft=0.1, hard=0.2), rig.apply(os.getpid)
    rig.run(ending, after)
    assert ending.timeouts == [(True, 0.1), (False, 0.2)]
    assert after.returned == [after.pid]


def test_hard_limit_ends_what_the_call_has_forked(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    ending = rig.begin(path, fork_a_sleeper_and_sleep, path, hard=0.2)
    wait_for(path.read_text)  # the loop still stands
    rig.run(ending)
    wait_for(lambda: is_zombie(int(path.read_text())))  # killed, it may take a moment; alone, it would sleep on
