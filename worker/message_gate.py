"""What a message may say: *run job N, series S*. The rest of it is ignored, and what cannot be read is refused."""

import reprlib
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import structlog

from core.events import Event

#: Messages of one fault are spoken of in one line, at most so often.
TELL_INTERVAL_S: Final = 60.0

LONGEST_TASK_NAME: Final = 300
#: live_jobs.series is an integer of PostgreSQL.
HIGHEST_SERIES: Final = 2**31 - 1

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200

log = structlog.get_logger()


class Fault(StrEnum):
    """Why a message is refused."""

    FORM = "not a message in the broker's own form"
    HEADERS = "its headers cannot be read"
    TASK = "it names no task"
    ID = "it names no job"
    SERIES = "it names no series"


class UnreadableMessageError(ValueError):
    """A message that nobody of ours has made, or that was damaged on its way."""

    def __init__(self, fault: Fault, example: object) -> None:
        """example: what is shown of the message, in the log."""
        super().__init__(fault)
        self.fault: Final = fault
        self.example: Final = example


def checked_headers(headers: Any) -> dict[str, Any]:
    """Return those headers of a message that a worker needs. Raises UnreadableMessageError."""
    if not isinstance(headers, dict):
        raise UnreadableMessageError(Fault.HEADERS, headers)
    task, task_id, series = headers.get("task"), headers.get("id"), headers.get("series")
    # isprintable: neither a log nor PostgreSQL takes half a surrogate pair or NUL.
    if not (isinstance(task, str) and 0 < len(task) <= LONGEST_TASK_NAME and task.isprintable()):
        raise UnreadableMessageError(Fault.TASK, headers)
    if not (type(series) is int and 0 < series <= HIGHEST_SERIES):
        raise UnreadableMessageError(Fault.SERIES, headers)
    try:
        return {"task": task, "id": str(UUID(task_id)), "series": series, "ignore_result": False}
    except (TypeError, ValueError, AttributeError):
        raise UnreadableMessageError(Fault.ID, headers) from None


class RefusedMessages:
    """Counts what was refused, and tells: the first of a fault at once, those that follow once a minute. For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._untold: dict[Fault, int] = {}
        self._examples: dict[Fault, str] = {}
        self._next_at: dict[Fault, float] = {}

    def note(self, fault: Fault, example: object) -> None:
        """Count a message, and say so if it is time to. example: what is shown of it; it is shortened."""
        self._untold[fault] = self._untold.get(fault, 0) + 1
        self._examples[fault] = _SHORT.repr(example)
        self._tell(fault)

    def tell(self) -> None:
        """Say what is to be said by now; to be called now and then."""
        for fault in tuple(self._untold):
            self._tell(fault)

    def _tell(self, fault: Fault) -> None:
        now = self._clock()
        if now >= self._next_at.get(fault, now):
            count = self._untold.pop(fault)
            self._next_at[fault] = now + TELL_INTERVAL_S
            log.warning(Event.MESSAGES_REFUSED, reason=fault, count=count, example=self._examples[fault])
