"""A pool process's second thread: sees to it that nothing waits behind a call that takes long."""

import threading
import time
from contextlib import suppress
from typing import Final, Protocol

from core.database import UNAVAILABLE
from worker.attempt_store import AttemptStore
from worker.connection import LazyConnection

#: Between two looks, while there is reason to look.
TICK_S: Final = 0.05


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
        self._is_awake = False
        self._ledger: Owing | None = None
        self._thread: threading.Thread | None = None

    def follow(self, ledger: Owing) -> None:
        """Look at this one."""
        self._ledger = ledger

    def wake(self) -> None:
        """Look again and again, as long as the ledger owes something at some of the looks."""
        if self._is_awake:
            return
        self._is_awake = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="late-writer", daemon=True)
            self._thread.start()
        self._reason.set()

    def _run(self) -> None:
        while True:
            self._reason.wait()
            self._reason.clear()
            while self._is_awake:
                time.sleep(TICK_S)
                with suppress(*UNAVAILABLE):
                    self._look()
            self._connection.close()

    def _look(self) -> None:
        assert self._ledger is not None
        self._ledger.hurry(self._store)
        self._is_awake = False  # before the question: what is owed from then on wakes it
        if self._ledger.owes:
            self._is_awake = True
