"""What becomes of a worker whose main loop hangs: others get what waits here, what runs ends, then the process ends."""

import os
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
from celery.worker import state

from core.events import Event
from worker.holdings import Holdings
from worker.loop_watch import LoopWatch, main_thread_stack
from worker.parent_reports import ParentReports

#: A worker whose loop stands still for so long is not well any more.
UNWELL_AFTER_S: Final = 10.0

#: And after so long it is given up.
GIVE_UP_AFTER_S: Final = 20.0

log = structlog.get_logger()


class HungLoop:
    """The verdict on the main loop, for the heartbeat's thread. It is final: a loop that turns again stops the worker."""

    def __init__(
        self,
        watch: LoopWatch,
        holdings: Holdings,
        reports: ParentReports,
        begin_no_more: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """begin_no_more lets the pool's processes end after what they run."""
        self._clock = clock
        self._watch = watch
        self._holdings = holdings
        self._reports = reports
        self._begin_no_more = begin_no_more
        self._is_told = False
        #: When it is given up: by when all that runs has ended, or passed its time limit, which nobody enforces now.
        self._ends_by: float | None = None

    def is_well(self) -> bool:
        """Whether the loop does its work. To be asked about once a second; acts when it has hung for too long."""
        stalled_s = self._watch.look()
        if stalled_s < UNWELL_AFTER_S:
            self._is_told = False
            return self._watch.works
        if not self._is_told:
            self._is_told = True
            log.error(
                Event.WORKER_HUNG,
                stalled_s=round(stalled_s, 1),
                hint="what the main thread calls must not block: see where it stands",
                stack=main_thread_stack(),
            )
        if stalled_s >= GIVE_UP_AFTER_S and self._ends_by is None:
            self._give_up()
        return False

    def is_over(self, running: dict[UUID, bool]) -> bool:
        """Whether the worker may end: it is given up, and nothing runs. running: as ParentReports.running."""
        return self._ends_by is not None and (not running or self._clock() >= self._ends_by)

    def _give_up(self) -> None:
        self._ends_by = self._clock() + self._holdings.longest_limit_s()
        state.should_stop = os.EX_SOFTWARE
        self._begin_no_more()
        waiting = self._holdings.waiting()
        self._reports.give_back(waiting)
        log.error(
            Event.WORKER_FAILED,
            reason="its main loop hangs: what waits here goes to others, and the worker ends after what it runs",
            given_back=len(waiting),
        )
