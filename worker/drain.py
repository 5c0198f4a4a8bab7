"""Stopping in order: the running attempts get drain_s seconds, what does not finish is handed back."""

import os
import signal
import threading
from types import FrameType
from typing import Final

import structlog
from celery.worker import state

from core.events import Event
from worker.heartbeat import Heartbeat

#: How long the heartbeat may take to hand back and leave when the database does not answer.
LEAVE_TIMEOUT_S: Final = 3.0

log = structlog.get_logger()


class Drain:
    """Begins with SIGTERM or SIGINT, which ask Celery's loop to stop; the second one, or SIGQUIT, ends it at once."""

    def __init__(self, heartbeat: Heartbeat, drain_s: float) -> None:
        self._heartbeat = heartbeat
        self._drain_s = drain_s
        self._has_begun = False
        self._leaving = threading.RLock()
        self._has_left = False
        heartbeat.end_worker = self.abort

    def handle_signals(self) -> None:
        """Take over the signals that stop a worker."""
        signal.signal(signal.SIGTERM, self._begin)
        signal.signal(signal.SIGINT, self._begin)
        signal.signal(signal.SIGQUIT, self._begin)

    def _begin(self, number: int, _frame: FrameType | None) -> None:
        wait_s = 0.0 if self._has_begun or number == signal.SIGQUIT else self._drain_s
        self._has_begun = True
        state.should_stop = os.EX_OK
        log.info(Event.WORKER_DRAINING, drain_s=wait_s)
        timer = threading.Timer(wait_s, self._exit, (os.EX_OK,))
        timer.daemon = True
        timer.start()

    def abort(self) -> None:
        """End the process now: a part of it has failed. Who supervises it starts it again."""
        self._exit(os.EX_SOFTWARE)

    def _exit(self, code: int) -> None:
        """The attempts still running are due again elsewhere; the pool processes die with this one."""
        try:
            self.leave()
        finally:
            os._exit(code)

    def leave(self) -> None:
        """Hand back what is held and say good-bye, once; or wait a little while another thread does."""
        if not self._leaving.acquire(timeout=2 * LEAVE_TIMEOUT_S):
            return
        try:
            if not self._has_left:
                self._has_left = True
                self._heartbeat.stop(LEAVE_TIMEOUT_S)
                log.info(Event.WORKER_DRAINED)
        finally:
            self._leaving.release()
