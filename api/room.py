"""How many connections may be open: what the setting and the system allow. Beyond that, idle ones make room for new ones."""

import resource
from collections.abc import Collection
from heapq import nsmallest
from typing import Final, Protocol

import structlog

from core.events import Event

#: Open files that are not connections of clients: the database's, also while they are made anew, libraries, the log.
RESERVED_FILES: Final = 64
FEWEST_CONNECTIONS: Final = 16
#: This part of the connections is closed at once, for to look for the idle ones takes longer than to close them.
SHED_SHARE: Final = 0.05
#: Time between two complaints.
REPORT_PAUSE_S: Final = 10.0

log = structlog.get_logger()


class Guest(Protocol):
    """An open connection."""

    waits_since: float | None

    @property
    def is_known(self) -> bool:
        """Whether it has ever sent a request."""

    def end(self, status: int, code: str, detail: str) -> None:
        """Close it; with a problem if a part of a request is here."""


class Room:
    """The place for `limit` connections of one process."""

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self._shed = 0
        self._refused = 0
        self._reported_at = float("-inf")

    def admit(self, guests: Collection[Guest]) -> bool:
        """Tell whether the newest of guests, who does not wait yet, can stay; if need be, some go who wait for nothing.

        Who waits for us is left alone: a client that keeps connections for nothing must not take the place of those that
        are being answered.
        """
        if len(guests) <= self.limit:
            return True
        waiting = [guest for guest in guests if guest.waits_since is not None]
        longest = nsmallest(max(1, int(self.limit * SHED_SHARE)), waiting, key=_claim)
        for guest in longest:
            guest.waits_since = None
            guest.end(503, "connections_full", "too many connections are open, and this one was slow; try again")
        self._shed += len(longest)
        self._refused += not longest
        return bool(longest)

    def report(self, now: float) -> None:
        """Log how many had to go since the last time, if any had to."""
        if (self._shed or self._refused) and now - self._reported_at >= REPORT_PAUSE_S:
            log.warning(Event.CONNECTIONS_SHED, closed=self._shed, refused=self._refused, limit=self.limit)
            self._shed = self._refused = 0
            self._reported_at = now


def _claim(guest: Guest) -> tuple[bool, float]:
    """Return what grows with the claim to stay: who has sent a request before, then who has waited for less time."""
    return guest.is_known, guest.waits_since or 0.0


def fit_to_system(wanted: int) -> int:
    """Raise the process's limit of open files as far as `wanted` connections need; return how many it has files for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else max(soft, min(hard, needed))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(FEWEST_CONNECTIONS, min(wanted, soft - RESERVED_FILES))
