from collections.abc import Callable

from scheduler.windows import LAST_LOOK_S, Window


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
    clock = Clock()
    return Window(limit, clock), Broker(ready), clock


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
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, LAST_LOOK_S, LAST_LOOK_S]
    broker.ready = 0
    assert window.room(broker) == 1000
    window.add(1000)
    broker.ready = 1000
    assert look(window, broker, clock) == 0.02


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


def look(window: Window, broker: Callable[[], int], clock: Clock) -> float:
    """Find the window full; return the pause until the next look, and wait for it."""
    assert window.room(broker) == 0
    pause_s = window.pause_s
    clock.now += pause_s
    return round(pause_s, 6)
