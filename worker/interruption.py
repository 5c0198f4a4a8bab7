"""Stopping attempts that are asked to stop: first the soft limit's exception, then the end of their process."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from core.events import Event
from worker.descendants import kill_family
from worker.holdings import Holdings

#: An attempt that does not end by the exception has its process killed after this time.
KILL_AFTER_S: Final = 10.0

log = structlog.get_logger()


class Interruption:
    """Signals pool processes. Their ends are reported on the usual paths, where the row turns them into REVOKED.

    Celery gives a pool process its next message only when it has reported the last one, so the process of a request that is
    not acknowledged runs that request.
    """

    def __init__(self, holdings: Holdings, clock: Callable[[], float] = time.monotonic) -> None:
        self._holdings = holdings
        self._clock = clock
        self._interrupted_at: dict[UUID, float] = {}

    def interrupt(self, tokens: Iterable[UUID]) -> None:
        """Interrupt these attempts; to be called at each beat with all that are asked to stop."""
        now = self._clock()
        before, self._interrupted_at = self._interrupted_at, {}
        for token in tokens:
            since = self._interrupted_at[token] = before.get(token, now)
            if token not in before:
                self._signal(token, signal.SIGUSR1)
            elif now - since >= KILL_AFTER_S:
                self._signal(token, signal.SIGKILL)

    def _signal(self, token: UUID, number: signal.Signals) -> None:
        request = self._holdings.request(token)
        if request is None or request.worker_pid is None or request.acknowledged:
            return
        log.info(Event.JOB_INTERRUPTED, task_id=request.id, task=request.name, signal=number.name)
        if number is signal.SIGKILL:
            kill_family(request.worker_pid)
            return
        with suppress(ProcessLookupError):
            os.kill(request.worker_pid, number)
