"""The worker's heartbeat: a thread and a connection of its own, which also writes what only the parent process knows."""

import threading
import time
from typing import Final

import structlog

from core.database import UNAVAILABLE
from core.events import Event
from core.heartbeat_file import HeartbeatFile
from core.queries import load_query
from core.settings import Settings
from worker.connection import LazyConnection
from worker.fork_guard import ForkGuard
from worker.holdings import Holdings
from worker.interruption import Interruption
from worker.parent_reports import ParentReports

BEAT: Final = load_query("worker", "beat")
LEAVE: Final = load_query("worker", "leave")

INTERVAL_S: Final = 1.0
RECONNECT_PAUSE_S: Final = 0.5
#: Messages that were taken ahead are given back when all slots have been busy with one attempt each for so long.
PATIENCE_S: Final = 0.5

log = structlog.get_logger()


class Heartbeat(threading.Thread):
    """Tells the database each second that this worker lives and which attempts it holds.

    Reports of the parent process are written by the same thread, before the next beat: a token is never missing from the
    beats before the outcome of its attempt has been written.
    """

    def __init__(
        self,
        settings: Settings,
        instance_id: str,
        queues: tuple[str, ...],
        *,
        connection: LazyConnection,
        holdings: Holdings,
        reports: ParentReports,
        interruption: Interruption,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._row = {"instance_id": instance_id, "queues": list(queues), "slots": settings.worker_slots}
        self._slots = settings.worker_slots
        self._file = HeartbeatFile(settings.heartbeat_file)
        self._connection = connection
        self._holdings = holdings
        self._reports = reports
        self._interruption = interruption
        self._fork_guard = ForkGuard()
        self._stopping = threading.Event()
        self._is_lost = False

    def start(self) -> None:
        """Begin to beat. The pool's processes are forked between two beats."""
        self._fork_guard.watch()
        super().start()

    def run(self) -> None:
        """Beat until stop() is called."""
        next_beat = time.monotonic()
        while not self._stopping.is_set():
            try:
                self._reports.wait(max(0.0, next_beat - time.monotonic()))
                with self._fork_guard:
                    self._reports.write()
                    if time.monotonic() >= next_beat:
                        next_beat = time.monotonic() + INTERVAL_S
                        self._beat()
                        self._note_success()
            except UNAVAILABLE as error:
                self._note_failure(error)
                self._stopping.wait(RECONNECT_PAUSE_S)

    def stop(self, timeout_s: float) -> None:
        """Write what is left, hand back what is held, leave. Gives up after timeout_s seconds without a database."""
        self._stopping.set()
        self.join(timeout_s)
        if self.is_alive():
            self._connection.renew()  # the thread is in the middle of a statement
        try:
            self._reports.write()
            self._reports.hand_back(self._holdings.held())
            self._connection.execute(LEAVE, self._row)
        except UNAVAILABLE as error:
            log.warning(Event.STORE_LOST, error=str(error).strip(), hint="the scheduler will rescue what was held")
        finally:
            self._connection.close()

    def _note_failure(self, error: Exception) -> None:
        """Say it once: an idle worker has no other way to tell that it cannot reach the database."""
        if not self._is_lost:
            self._is_lost = True
            log.warning(Event.STORE_LOST, error=str(error).strip().split("\n")[0])

    def _note_success(self) -> None:
        if self._is_lost:
            self._is_lost = False
            log.info(Event.STORE_RESTORED)

    def _beat(self) -> None:
        held = self._holdings.held()
        self._connection.execute(BEAT, self._row | {"tokens": list(held)})
        self._interruption.interrupt(self._reports.cancellations(held))
        self._reports.give_back(self._holdings.take_stuck(self._slots, PATIENCE_S))
        self._file.touch()
