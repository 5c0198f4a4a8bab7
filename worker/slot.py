"""A slot of the pool: one process that runs one call after the other, and what the worker knows of it."""

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from billiard import get_context
from billiard.common import human_status
from billiard.exceptions import WorkerLostError

from core.events import Event
from worker.board import Board
from worker.call import Call
from worker.call_loop import Finalize, Initialize, as_raised, serve
from worker.call_stream import CallStream
from worker.descendants import kill_family
from worker.memory_watch import MemoryLimitExceeded, MemoryWatch

#: A pool process that does not take its call within this time is stopped or stuck, and is replaced.
SEND_LIMIT_S: Final = 5.0

#: A process that has closed its stream ends within this time, or is killed.
BURIAL_LIMIT_S: Final = 1.0

#: A pool process has so long to get ready, worker_process_init's receivers included.
START_LIMIT_S: Final = 60.0

#: How long idle processes may take to end: tasks may have connected to Celery's signal worker_process_shutdown.
PARTING_LIMIT_S: Final = 2.0

#: Calls that a process may have ahead, each of so many bytes at most: they fit into the stream, so nobody waits to send.
MOST_AHEAD: Final = 16
AHEAD_BYTES: Final = 4_096

#: So often the worker looks which of its calls a process runs that has calls ahead: it may say so late.
CATCH_UP_S: Final = 1.0

_FORK: Final = get_context("fork")

log = structlog.get_logger()


class Slot:
    """A pool process, as its worker sees it. `call` is what it runs at present, and `number` how many it has begun.

    A process may hold back how its last calls ended, until it has written that; the board says which one it runs.
    """

    def __init__(
        self,
        index: int,
        initialize: Initialize,
        finalize: Finalize,
        *,
        others: Iterable["Slot"],
        memory_limit_mib: int,
        most_ahead: int,
    ) -> None:
        """Fork the process, which calls `initialize` first and `finalize` last, with its pid and exit code.

        index: the number of the process in the pool, from 0. `others` are the slots whose descriptors it must not keep
        open. memory_limit_mib: 0 is none. most_ahead: calls that it may have beside the one that it runs.
        """
        self.index = index
        self.number = 0
        ours, theirs = socket.socketpair()
        ours.settimeout(SEND_LIMIT_S)
        self.stream = CallStream(ours)
        self._board = Board()
        self._ahead: deque[Call] = deque()
        self._unanswered: deque[Call] = deque()  # that have ended
        self._catch_up_at = 0.0
        self._most_ahead = most_ahead
        self.call: Call | None = None
        self.is_ready = False
        self.was_ready = False
        self._started_at = time.monotonic()
        #: While it is not ready: when it has to be, or to be gone.
        self._decided_by = self._started_at + START_LIMIT_S
        self._is_warned = False
        self._is_killed = False
        self._goes_on = False  # after what it has sent last, with the next call that it has
        self._is_timed_out = False
        self._excess: MemoryLimitExceeded | None = None
        inherited = [self.stream, *(other.stream for other in others)]
        self._process = _FORK.Process(target=serve, args=(theirs, self._board, inherited, initialize, finalize), daemon=True)
        self._process.index = index
        self._process.name = f"ForkPoolWorker-{index + 1}"
        self._process.start()
        self._memory = MemoryWatch(self._process.pid, memory_limit_mib)
        theirs.close()

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return int(self._process.pid)

    @property
    def has_room(self) -> bool:
        """Whether it can be given a call, if only ahead."""
        return self.is_ready and (self.call is None or len(self._ahead) < self._most_ahead)

    def give(self, call: Call) -> bool:
        """Give the process a call, to be begun now or after those that it has. False: this one only when it is free.

        Raises OSError if it is gone or does not take it.
        """
        packed = self.stream.pack((call.function, call.args, call.soft_limit_s))
        if self.call is not None and len(packed) > AHEAD_BYTES:
            return False
        self.stream.write(packed)
        self._ahead.append(call)
        if self.call is None:
            self.begin_next()
        return True

    def begin_next(self) -> None:
        """Note that the process goes on with the next call that it has, if it has one."""
        if self.call is None and self._ahead and self._goes_on:
            self.call, self._started_at, self._is_warned = self._ahead.popleft(), time.monotonic(), False
            self._is_timed_out, self._excess = False, None
            self.number += 1
            self._memory.expect_look(self._started_at)
            self._catch_up_at = self._started_at + CATCH_UP_S
            self.call.on_accepted(self.pid, self._started_at)

    def catch_up(self) -> None:
        """Note what the process runs by now, though it has not said how the calls before that ended."""
        while self.call is not None and self._ahead and self.number < self._board.begun:
            self._unanswered.append(self.call)
            self.call = None
            self.begin_next()
        self._catch_up_at = time.monotonic() + CATCH_UP_S

    def take_back(self) -> list[Call]:
        """Return the calls that the process has not begun, and will not."""
        calls = list(self._ahead)
        self._ahead.clear()
        return calls

    def begin_no_more(self) -> None:
        """Let the process end after the call that it runs, if it has one."""
        self._board.close()

    def deadline(self) -> float | None:
        """Return when enforce_limits() has to be called next, in time.monotonic()'s seconds."""
        if self._is_killed:
            return None
        moments = [moment for moment in (self._time_is_up_at(), self._memory.look_at) if moment is not None]
        if self.call is not None and self._ahead:
            moments.append(self._catch_up_at)
        return min(moments, default=None)

    def enforce_limits(self) -> None:
        """Raise SoftTimeLimitExceeded in a call that has passed its soft limit; kill its process at the hard one.

        A process that does not get ready, or that does not go when it shall, is killed as well, and one whose memory has
        passed its limit. One that waits for a call, but with a worn memory, is let go.
        """
        now = time.monotonic()
        if self._catch_up_at <= now:
            self.catch_up()
        if self._memory.look_at is not None and self._memory.look_at <= now:
            self._look(now)
        time_is_up = self._time_is_up_at()
        if self._is_killed or time_is_up is None or now < time_is_up:
            return
        number = self.number
        self.catch_up()
        if self.number != number:
            return  # it is not the call whose time is up
        if self.call is not None and self.call.soft_limit_s is not None and not self._is_warned:
            self._is_warned = True
            self.interrupt(self.number)
            self.call.on_timeout(True, self.call.soft_limit_s)
        else:
            self._is_timed_out = True
            self.kill()

    def finish(self) -> Callable[[], None]:
        """Take the value that the process has sent. Return what tells Celery about the call; after that, begin_next()."""
        value = self.stream.take()
        if self._unanswered:
            call: Call | None = self._unanswered.popleft()
        else:
            call, self.call = self.call, None
        if call is None:
            self.is_ready = self.was_ready = self._goes_on = True
            self._memory.measure_at_rest()
            return _nothing
        succeeded, result, self._goes_on = value
        self.is_ready = self._goes_on and not self._is_killed
        now = time.monotonic()
        if not self.is_ready:
            self._decided_by = now + PARTING_LIMIT_S
        elif self._memory.is_due_at_rest(now):
            self._look(now)
        return partial(call.on_success if succeeded else call.on_failure, result)

    def bury(self) -> list[Callable[[], None]]:
        """Wait for the end of a process that has closed its stream. Return what tells Celery of the calls it took along."""
        self.stream.close()
        self.wait(BURIAL_LIMIT_S)
        if self._process.is_alive():
            self.kill()
            self.wait(BURIAL_LIMIT_S)
        if self.call is not None and self.number > self._board.begun:
            self._ahead.appendleft(self.call)
            self.call = None
        lost = as_raised(WorkerLostError(f"its process ended early: {human_status(self._process.exitcode)}"))
        # Whether the unanswered ones are written, nobody knows.
        endings: list[Callable[[], None]] = [partial(call.on_failure, lost) for call in self._unanswered]
        self._unanswered.clear()
        call, self.call = self.call, None
        if call is None:
            return endings
        if self._excess is not None:
            return [*endings, partial(call.on_failure, as_raised(self._excess))]
        if self._is_timed_out:
            return [*endings, partial(call.on_timeout, False, call.limit_s or 0.0)]
        return [*endings, partial(call.on_failure, lost)]

    def dismiss(self) -> None:
        """Let the process end after what it runs."""
        self.begin_no_more()
        self.stream.close()

    def wait(self, limit_s: float) -> None:
        """Wait up to limit_s seconds for the process to end.

        Not with join(), which also waits for what the process has forked.
        """
        deadline = time.monotonic() + limit_s
        while self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)

    def runs(self, number: int) -> bool:
        """Whether the process runs this call. number: self.number when it began."""
        return self._board.begun == number

    def interrupt(self, number: int) -> None:
        """Raise SoftTimeLimitExceeded in a call, if the process still runs it. number: self.number when it began."""
        self._board.interrupt(number)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        """kill -9 the process and what it has forked. Its stream closes by that."""
        self._is_killed = True
        self.is_ready = False
        kill_family(self.pid)

    def _time_is_up_at(self) -> float | None:
        if self.call is None:
            return None if self.is_ready else self._decided_by
        limit_s = self.call.limit_s if self._is_warned or self.call.soft_limit_s is None else self.call.soft_limit_s
        return None if limit_s is None else self._started_at + limit_s

    def _look(self, now: float) -> None:
        """See what memory the process has, and draw the conclusion."""
        self._memory.look()
        if self.call is None:
            if self._memory.is_worn and self.is_ready:
                self._retire(now)
            return
        self._excess = self._memory.excess
        if self._excess is not None:
            self.kill()
        else:
            self._memory.expect_look(now)

    def _retire(self, now: float) -> None:
        """Let an idle process end by itself; the pool replaces it when its stream closes, as after any other end."""
        log.info(Event.PROCESS_RETIRED, pid=self.pid, memory_mib=self._memory.used_mib)
        self.is_ready = False
        self._decided_by = now + PARTING_LIMIT_S
        self.stream.end()


def _nothing() -> None:
    pass
