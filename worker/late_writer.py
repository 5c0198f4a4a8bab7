"""A pool process's second thread: sees to it that nothing waits behind a call that takes long."""

import threading
import time
from typing import Final, Protocol

import structlog

from core.database import DATABASE_ERRORS, REFUSALS
from core.events import Event
from worker.attempt_store import AttemptStore
from worker.connection import LazyConnection
from worker.fork_guard import ForkGuard

#: Between two looks, while there is reason to look.
TICK_S: Final = 0.05
#: And after a look that failed.
AGAIN_S: Final = 0.5

log = structlog.get_logger()


class Owing(Protocol):
    """What is looked at: a ledger."""

    @property
    def owes(self) -> bool:
        """Whether there is something that must not wait for long."""

    def hurry(self, store: AttemptStore) -> None:
        """Do what has waited for too long."""


class LateWriter:
    """Looks at a ledger from a thread of its own. It is started with the first reason; while there is none, it sleeps."""

    def __init__(self, connection: LazyConnection, worker: str) -> None:
        """connection: of this thread alone, for the main thread may be in the middle of a statement."""
        self._connection = connection
        self._store = AttemptStore(connection, worker)
        self._reason = threading.Event()
        self._fork_guard = ForkGuard()
        self._ledger: Owing | None = None
        self._thread: threading.Thread | None = None
        self._pause_s = TICK_S

    def follow(self, ledger: Owing) -> None:
        """Look at this one."""
        self._ledger = ledger

    def wake(self) -> None:
        """Look soon, and again as long as the ledger owes something."""
        if self._reason.is_set():
            return
        if self._thread is None:
            self._fork_guard.watch()
            thread = threading.Thread(target=self._run, name="late-writer", daemon=True)
            thread.start()
            self._thread = thread
        self._reason.set()

    def _run(self) -> None:
        while True:
            self._reason.wait()
            time.sleep(self._pause_s)
            self._reason.clear()  # before the look: what is owed from then on is a new reason
            with self._fork_guard:
                self._look()

    def _look(self) -> None:
        assert self._ledger is not None
        self._pause_s = TICK_S
        try:
            self._ledger.hurry(self._store)
        except Exception as error:
            # A database that is away is the main thread's to speak of.
            if not isinstance(error, DATABASE_ERRORS) or isinstance(error, REFUSALS):
                log.exception(
                    Event.WORKER_FAILED, reason="what waits behind a long attempt could not be written; it is tried again"
                )
            self._connection.close()
            self._pause_s = AGAIN_S
        if self._ledger.owes:
            self._reason.set()
        else:
            self._connection.close()
