"""api.room: who has to go when too many connections are open, and how many the system has files for."""

import resource
from dataclasses import dataclass, field

import pytest

from api.room import FEWEST_CONNECTIONS, RESERVED_FILES, Room, fit_to_system


@dataclass(eq=False)
class FakeGuest:
    waits_since: float | None
    is_known: bool = False
    codes: list[str] = field(default_factory=list)

    def end(self, status: int, code: str, detail: str) -> None:
        self.codes.append(code)


NEWEST = FakeGuest(None)


def test_who_never_sent_a_request_goes_first_and_the_oldest_of_them() -> None:
    known, younger, older, answered = FakeGuest(1.0, True), FakeGuest(3.0), FakeGuest(2.0), FakeGuest(None, True)
    assert Room(4).admit([known, younger, older, answered, NEWEST])
    assert [guest.codes for guest in (known, younger, older, answered)] == [[], [], ["connections_full"], []]


def test_a_share_goes_at_once_and_nobody_twice() -> None:
    guests = [FakeGuest(float(number)) for number in range(100)]
    room = Room(100)
    assert room.admit([*guests, NEWEST])
    assert room.admit([*guests, NEWEST])
    assert [len(guest.codes) for guest in guests] == [1] * 10 + [0] * 90


def test_newest_is_refused_when_all_are_being_answered() -> None:
    assert not Room(2).admit([FakeGuest(None), FakeGuest(None), NEWEST])


def test_nobody_goes_while_there_is_room() -> None:
    guest = FakeGuest(1.0)
    assert Room(2).admit([guest, NEWEST])
    assert not guest.codes


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "room"),
    [
        (5000, 9000, 5000, 1000),
        (1024, 9000, 1000 + RESERVED_FILES, 1000),
        (1024, resource.RLIM_INFINITY, 1000 + RESERVED_FILES, 1000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000),
        (256, 512, 512, 512 - RESERVED_FILES),
        (64, 64, 64, FEWEST_CONNECTIONS),
    ],
)
def test_limit_of_files_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised_to: int, room: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr("api.room.resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr("api.room.resource.setrlimit", lambda _, value: limits.append(value))
    assert fit_to_system(1000) == room
    assert limits[-1] == (raised_to, hard)
