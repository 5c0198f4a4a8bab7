"""Stopping attempts that are asked to stop: first the soft limit's exception, then the end of their process."""

import signal
import time
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import structlog

from core.events import Event
from worker.descendants import kill_family
from worker.holdings import Holdings
from worker.slot import Slot

#: An attempt that does not end by the exception has its process killed after this time.
KILL_AFTER_S: Final = 10.0

log = structlog.get_logger()


class Interruption:
    """Signals pool processes. Their ends are reported on the usual paths, where the row turns them into REVOKED."""

    def __init__(
        self, holdings: Holdings, slot_of: Callable[[int], Slot | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """slot_of: finds the slot of a process."""
        self._holdings = holdings
        self._slot_of = slot_of
        self._clock = clock
        self._interrupted_at: dict[UUID, float] = {}

    def interrupt(self, tokens: Iterable[UUID]) -> None:
        """Interrupt these attempts; to be called at each beat with all that are asked to stop."""
        now = self._clock()
        before, self._interrupted_at = self._interrupted_at, {}
        for token in tokens:
            if token in before:
                self._interrupted_at[token] = before[token]
                if now - before[token] >= KILL_AFTER_S:
                    self._signal(token, signal.SIGKILL)
            elif self._signal(token, signal.SIGUSR1):
                self._interrupted_at[token] = now

    def _signal(self, token: UUID, number: signal.Signals) -> bool:
        """Signal the process of a request, and tell whether it runs that request."""
        request = self._holdings.request(token)
        if request is None or request.worker_pid is None:
            return False
        slot = self._slot_of(request.worker_pid)
        if slot is None or request.acknowledged or not slot.runs(request.call_number):
            return False
        log.info(Event.JOB_INTERRUPTED, task_id=request.id, task=request.name, signal=number.name)
        if number is signal.SIGKILL:
            kill_family(slot.pid)
        else:
            slot.interrupt(request.call_number)
        return True
