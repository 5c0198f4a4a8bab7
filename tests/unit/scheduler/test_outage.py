from structlog.testing import capture_logs

from core.events import Event
from scheduler.outage import Backoff, Outage


def test_backoff_doubles_from_a_tenth_of_a_second_to_two() -> None:
    backoff = Backoff()
    assert [backoff.next_s() for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_backoff_begins_anew_after_a_success() -> None:
    backoff = Backoff()
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.1


def test_an_outage_is_told_once_however_many_suffer_and_however_often() -> None:
    with capture_logs() as logs:
        outage = Outage(Event.BROKER_LOST, Event.BROKER_RESTORED)
        for sufferer in ("relay", "rescue", "relay"):
            outage.begin(sufferer, OSError("refused\nand more"))
    assert [(entry["event"], entry["error"]) for entry in logs] == [(Event.BROKER_LOST, "refused")]


def test_an_outage_is_over_when_the_last_sufferer_works_again() -> None:
    with capture_logs() as logs:
        outage = Outage(Event.BROKER_LOST, Event.BROKER_RESTORED)
        outage.begin("relay", OSError())
        outage.begin("rescue", OSError())
        outage.end("relay")
        assert [entry["event"] for entry in logs] == [Event.BROKER_LOST]
        outage.end("rescue")
        outage.end("rescue")
    assert [entry["event"] for entry in logs] == [Event.BROKER_LOST, Event.BROKER_RESTORED]


def test_success_without_an_outage_says_nothing() -> None:
    with capture_logs() as logs:
        Outage(Event.BROKER_LOST, Event.BROKER_RESTORED).end("relay")
    assert logs == []
