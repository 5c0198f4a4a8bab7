"""The worker's heartbeat: a thread and a connection of its own, which also writes what only the parent process knows."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from core.database import DATABASE_ERRORS
from core.events import Event
from core.heartbeat_file import HeartbeatFile
from core.queries import load_query
from core.settings import Settings
from worker.connection import LazyConnection
from worker.fork_guard import ForkGuard
from worker.holdings import Holdings
from worker.hung_loop import HungLoop
from worker.interruption import Interruption
from worker.parent_reports import ParentReports

BEAT: Final = load_query("worker", "beat")
LEAVE: Final = load_query("worker", "leave")

INTERVAL_S: Final = 1.0
#: Until it is well for the first time, but not for long: a service that starts is ready as soon as its workers are.
FIRST_INTERVAL_S: Final = 0.1
START_S: Final = 30.0
RECONNECT_PAUSE_S: Final = 0.5
#: Messages that were taken ahead are given back when all slots have been busy with one attempt each for so long.
PATIENCE_S: Final = 0.5

log = structlog.get_logger()


class Heartbeat(threading.Thread):
    """Tells the database each second that this worker lives and which attempts it holds.

    Reports of the parent process are written by the same thread, before the next beat: a token is never missing from the
    beats before the outcome of its attempt has been written.

    The thread survives whatever the database says. A defect of its own ends the worker: without a heart, others would run
    what it runs.
    """

    #: Ends the worker's process, with what runs handed back.
    end_worker: Callable[[], None]

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
        hung_loop: HungLoop,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._row = {"instance_id": instance_id, "queues": list(queues), "slots": settings.worker_slots}
        self._slots = settings.worker_slots
        self._file = HeartbeatFile(settings.heartbeat_file)
        self._connection = connection
        self._holdings = holdings
        self._reports = reports
        self._interruption = interruption
        self._hung_loop = hung_loop
        self._fork_guard = ForkGuard()
        self._stopping = threading.Event()
        self._is_lost = False
        self._was_well = False

    def start(self) -> None:
        """Begin to beat. The pool's processes are forked between two beats."""
        self._fork_guard.watch()
        super().start()

    def run(self) -> None:
        """Beat until stop() is called, or end the worker."""
        try:
            self._beat_until_stopped()
        except BaseException:
            log.exception(Event.WORKER_FAILED, reason="the heartbeat's thread failed, so the worker ends")
            self.end_worker()

    def _beat_until_stopped(self) -> None:
        next_beat = time.monotonic()
        started_by = next_beat + START_S
        while not self._stopping.is_set():
            try:
                self._reports.wait(max(0.0, next_beat - time.monotonic()))
                with self._fork_guard:
                    self._reports.write()
                    if time.monotonic() >= next_beat:
                        is_starting = not self._was_well and next_beat < started_by
                        next_beat = time.monotonic() + (FIRST_INTERVAL_S if is_starting else INTERVAL_S)
                        self._beat()
                        self._note_success()
            except DATABASE_ERRORS as error:
                self._note_failure(error)
                self._stopping.wait(RECONNECT_PAUSE_S)

    def stop(self, timeout_s: float) -> None:
        """Write what is left, hand back what is held, leave. Gives up after timeout_s seconds without a database."""
        self._stopping.set()
        if threading.current_thread() is not self:
            self.join(timeout_s)
            if self.is_alive():
                self._connection.renew()  # the thread is in the middle of a statement
        try:
            self._write_last_reports()
            self._reports.hand_back(self._holdings.held())
            self._connection.execute(LEAVE, self._row)
        except DATABASE_ERRORS as error:
            log.warning(Event.STORE_LOST, error=str(error).strip(), hint="the scheduler will rescue what was held")
        finally:
            self._connection.close()

    def _write_last_reports(self) -> None:
        """Write what is left. One with a defect, for which the worker ends perhaps, keeps nothing from being handed back."""
        try:
            self._reports.write()
        except DATABASE_ERRORS:
            raise
        except Exception:
            log.exception(Event.WORKER_FAILED, reason="a report could not be written; what it is about is rescued")

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
        is_well = self._hung_loop.is_well()
        self._connection.execute(BEAT, self._row | {"tokens": list(held), "is_well": is_well})
        running = self._reports.running(held)
        self._interruption.interrupt(token for token, is_asked_to_stop in running.items() if is_asked_to_stop)
        self._reports.give_back(self._holdings.take_stuck(self._slots, PATIENCE_S))
        if is_well:
            self._was_well = True
            self._file.touch()
        if self._hung_loop.is_over(running):
            self.end_worker()
