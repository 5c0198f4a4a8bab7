"""Stopping in order: the running attempts get drain_s seconds, what does not finish is handed back."""

import os
import threading
from typing import Any, Final

import structlog
from celery import signals

from core.events import Event
from worker.heartbeat import Heartbeat

#: How long the heartbeat may take to hand back and leave when the database does not answer.
LEAVE_TIMEOUT_S: Final = 3.0

log = structlog.get_logger()


class Drain:
    """Starts with Celery's warm shutdown (SIGTERM, SIGINT) and ends the process when the time is over."""

    def __init__(self, heartbeat: Heartbeat, drain_s: float) -> None:
        self._heartbeat = heartbeat
        self._drain_s = drain_s
        self._left = threading.Lock()
        signals.worker_shutting_down.connect(self._begin)

    def _begin(self, **_: Any) -> None:
        log.info(Event.WORKER_DRAINING, drain_s=self._drain_s)
        timer = threading.Timer(self._drain_s, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        """The attempts still running are due again elsewhere; the pool processes die with this one."""
        self.leave()
        os._exit(0)

    def leave(self) -> None:
        """Hand back what is held and say good-bye, once."""
        if self._left.acquire(blocking=False):
            self._heartbeat.stop(LEAVE_TIMEOUT_S)
            log.info(Event.WORKER_DRAINED)
