from collections.abc import Callable

import pytest

from scheduler.windows import LAST_LOOK_S, PER_SLOT, TARGET_S, Window


class Broker:
    """A broker's count of ready messages, and how often it was asked."""

    def __init__(self, ready: int) -> None:
        self.ready = ready
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.ready


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(limit: int, ready: int) -> tuple[Window, Broker, Clock]:
    """Make a window that does not change its size."""
    clock = Clock()
    return Window(limit, limit, clock), Broker(ready), clock


class System:
    """Workers that consume at a rate, and a relay with an endless backlog that fills the window up at every look."""

    def __init__(self, window: Window, clock: Clock, rate_per_s: float) -> None:
        self.window = window
        self.clock = clock
        self.rate_per_s = rate_per_s
        self.broker = Broker(0)
        self.idle_s = 0.0
        self._due = 0.0

    def run(self, duration_s: float, step_s: float = 0.01) -> None:
        for _ in range(int(duration_s / step_s)):
            self.clock.now += step_s
            self._due += self.rate_per_s * step_s
            consumed = min(self.broker.ready, int(self._due))
            self.idle_s += step_s if self._due >= 1 and consumed == 0 else 0.0
            self._due = self._due - consumed if consumed else min(self._due, 1.0)
            self.broker.ready -= consumed
            while room := self.window.room(self.broker):
                self.window.add(room)
                self.broker.ready += room


def make_system(rate_per_s: float, slots: int = 4, most: int = 1000) -> System:
    clock = Clock()
    window = Window(most, clock=clock)
    window.serve(slots)
    return System(window, clock, rate_per_s)


def test_an_empty_queue_has_room_for_the_whole_window() -> None:
    window, broker, _ = make(limit=1000, ready=0)
    assert window.room(broker) == 1000


def test_the_broker_is_not_asked_while_the_bound_says_that_there_is_room() -> None:
    window, broker, clock = make(limit=1000, ready=0)
    for _ in range(700):
        assert window.room(broker) > 0
        window.add(1)
        clock.now += 0.001
    assert broker.asked == 1


def test_the_broker_is_asked_when_the_bound_is_near_the_limit() -> None:
    window, broker, _ = make(limit=1000, ready=0)
    window.room(broker)
    window.add(900)
    broker.ready = 300
    assert window.room(broker) == 700


def test_the_broker_is_asked_again_after_a_second_because_others_publish_too() -> None:
    window, broker, clock = make(limit=1000, ready=0)
    window.room(broker)
    broker.ready = 1000
    clock.now = 1.1
    assert window.room(broker) == 0


def test_a_window_is_refilled_when_a_quarter_is_consumed() -> None:
    window, broker, clock = make(limit=1000, ready=1000)
    assert window.room(broker) == 0
    broker.ready = 751
    clock.now += window.pause_s
    assert window.room(broker) == 0
    broker.ready = 750
    clock.now += window.pause_s
    assert window.room(broker) == 250


def test_looks_at_a_full_window_become_rare_and_frequent_again_after_a_refill() -> None:
    window, broker, clock = make(limit=1000, ready=1000)
    pauses = [look(window, broker, clock) for _ in range(7)]
    assert pauses == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1, 0.1]
    for _ in range(100):
        look(window, broker, clock)
    assert look(window, broker, clock) == LAST_LOOK_S
    broker.ready = 0
    assert window.room(broker) == 1000
    window.add(1000)
    broker.ready = 1000
    assert look(window, broker, clock) < 0.2


def test_a_full_window_does_not_ask_before_its_next_look() -> None:
    window, broker, clock = make(limit=1000, ready=1000)
    window.room(broker)
    clock.now += window.pause_s / 2
    assert window.room(broker) == 0
    assert broker.asked == 1


def test_a_window_of_one_works() -> None:
    window, broker, clock = make(limit=1, ready=0)
    assert window.room(broker) == 1
    window.add(1)
    broker.ready = 1
    assert window.room(broker) == 0
    broker.ready = 0
    clock.now += window.pause_s
    assert window.room(broker) == 1


def test_after_a_refusal_it_waits_and_then_asks_before_the_next_batch() -> None:
    window, broker, clock = make(limit=1000, ready=0)
    window.room(broker)
    window.refuse()
    assert window.room(broker) == 0
    assert window.pause_s == LAST_LOOK_S
    assert broker.asked == 1
    clock.now += LAST_LOOK_S
    assert window.room(broker) == 1000
    assert broker.asked == 2


@pytest.mark.parametrize("rate_per_s", [50, 200, 1000, 1800])
def test_window_holds_what_is_consumed_in_half_a_second(rate_per_s: int) -> None:
    system = make_system(rate_per_s)
    system.run(10.0)
    assert system.window.limit == pytest.approx(rate_per_s * TARGET_S, rel=0.35)


def test_window_never_holds_more_than_the_setting() -> None:
    system = make_system(50_000, most=300)
    system.run(5.0)
    assert system.window.limit == 300


def test_window_of_long_jobs_holds_some_for_each_slot() -> None:
    system = make_system(1.0, slots=8)
    system.run(60.0)
    assert system.window.limit == 8 * PER_SLOT


def test_window_without_workers_is_small() -> None:
    system = make_system(0.0, slots=0)
    system.run(10.0)
    assert system.broker.ready == system.window.limit == PER_SLOT


@pytest.mark.parametrize("rate_per_s", [100, 1000, 2000])
def test_workers_do_not_wait_once_their_rate_is_known(rate_per_s: int) -> None:
    system = make_system(rate_per_s)
    system.run(3.0)
    system.idle_s = 0.0
    system.run(20.0)
    assert system.idle_s == 0.0


def test_workers_that_begin_do_not_wait_long() -> None:
    system = make_system(1000)
    system.run(3.0)
    assert system.idle_s < 0.3


def test_workers_that_become_ten_times_as_fast_do_not_wait_long() -> None:
    system = make_system(100)
    system.run(5.0)
    system.idle_s, system.rate_per_s = 0.0, 1000
    system.run(5.0)
    assert system.idle_s < 0.3
    assert system.window.limit > 300


def test_window_becomes_small_again_when_jobs_become_slow() -> None:
    system = make_system(1500)
    system.run(5.0)
    system.rate_per_s = 20
    system.run(60.0)
    assert system.window.limit <= 20
    assert system.broker.ready <= 20


def test_window_of_a_queue_that_workers_keep_empty_follows_what_arrives() -> None:
    """Nothing is ready whenever the broker is asked, for jobs come slower than they are consumed: no reason to grow."""
    clock, broker = Clock(), Broker(0)
    window = Window(1000, clock=clock)
    window.serve(4)
    for _ in range(2000):
        clock.now += 0.01
        if window.room(broker) >= 3:
            window.add(3)
    assert window.limit == pytest.approx(300 * TARGET_S, rel=0.35)


def look(window: Window, broker: Callable[[], int], clock: Clock) -> float:
    """Find the window full; return the pause until the next look, and wait for it."""
    assert window.room(broker) == 0
    pause_s = window.pause_s
    clock.now += pause_s
    return round(pause_s, 6)
