"""The scheduler's threads: all run, or the process ends and its supervisor starts it again."""

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog

from core.events import Event
from scheduler.duty import DutyRunner

#: A clean stop waits no longer for a thread that waits for a database or a broker.
STOP_TIMEOUT_S: Final = 1.0

log = structlog.get_logger()


class Crew:
    """Runs each duty in a thread of its own until stop is set, or one of them fails."""

    def __init__(self, runners: dict[str, DutyRunner], stop: threading.Event) -> None:
        self._stop = stop
        self._has_failed = False
        self._threads: Sequence[threading.Thread] = [
            # Daemons: one that hangs in a system call cannot keep the process from ending.
            threading.Thread(target=self._run, args=(name, runner), name=name, daemon=True)
            for name, runner in runners.items()
        ]

    def run(self) -> bool:
        """Start all, wait for the end, and return whether it was asked for."""
        for thread in self._threads:
            thread.start()
        self._stop.wait()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not self._has_failed

    def _run(self, name: str, runner: DutyRunner) -> None:
        try:
            runner.run(self._stop)
        except Exception:
            self._has_failed = True
            log.exception(Event.SCHEDULER_FAILED, duty=name)
            self._stop.set()
