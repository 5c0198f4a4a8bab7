"""What a pool process owes the database: outcomes that are not written yet, and jobs that it has claimed and not begun.

An outcome is written at once, together with the claim of the next job that is here. While attempts are very short, that
would be most of their cost: then several jobs are claimed with one statement, and their outcomes written with the next one,
in one commit. Their messages are acknowledged after that. So an outcome may be written BUDGET_S late. Where a call takes
unexpectedly long, the outcomes before it are written after LATE_S, and the jobs behind it handed back: see late_writer.py.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from core.events import Event
from core.states import Status
from worker.attempt_store import AttemptStore, Claim, Wanted
from worker.desk import Desk
from worker.late_writer import LateWriter
from worker.outcome import Attempt, Failed, Succeeded, error_json

#: Outcomes that are written together are of attempts that took so long together, or were expected to.
BUDGET_S: Final = 0.005

#: Attempts that share a commit; so many at most run again if their worker is killed.
MOST_AT_ONCE: Final = 8

#: An outcome beyond this size is not held back.
SMALL_CHARACTERS: Final = 8_192

#: An attempt that has run for so long, and up to a look more, does not keep others waiting: see hurry().
LATE_S: Final = 0.05

#: How much the last attempt counts in the mean duration of attempts.
_WEIGHT: Final = 0.1

#: Of a job that was asked to stop after it was claimed and before it began; it ends as REVOKED.
_STOPPED: Final = Failed(error_json("Revoked", "cancelled before it began"))

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt with its outcome. number: as the job counts its attempts."""

    attempt: Attempt
    outcome: Succeeded | Failed
    number: int
    has_links: bool = False

    @property
    def may_wait(self) -> bool:
        """Whether it may be written a little later. Not before its links are submitted: these need the outcome."""
        match self.outcome:
            case Succeeded(result):
                size = len(result)
            case Failed(error, traceback):
                size = len(error) + len(traceback or "")
        return size <= SMALL_CHARACTERS and not self.has_links


class Ledger:
    """Claims jobs and writes outcomes, one at a time or several at once. For the process's main thread, but for hurry()."""

    def __init__(
        self,
        store: AttemptStore,
        desk: Desk,
        wanted_by: Callable[[Any], Wanted | None],
        late_writer: LateWriter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """wanted_by: what a call will claim. late_writer: calls hurry() from its thread, while there is reason."""
        self._store = store
        self._desk = desk
        self._wanted_by = wanted_by
        self._late_writer = late_writer
        self._clock = clock
        self._unwritten: dict[UUID, Ended] = {}
        self._claimed: dict[UUID, tuple[UUID, Claim]] = {}
        self._mean_s = BUDGET_S
        self._begun_at = self._moved_at = self._waiting_since = self._claimed_at = clock()
        desk.at_rest = self._rest
        late_writer.follow(self)

    def claim(self, wanted: Wanted) -> Claim | None:
        """Take the job for the attempt that begins now. None: it is not ours to run.

        A claim that is LATE_S old may be another's by now: the database is asked again.
        """
        with self._desk.lock:
            _, claim = self._claimed.pop(wanted.token, (None, None))
            if claim is None or self._clock() - self._claimed_at >= LATE_S:
                self.settle()
                self._hand_back(self._store)  # nothing shall depend on a job that had to be claimed alone
                claim = self._store.claim(wanted)
            self._begun_at = self._moved_at = self._clock()
            if self.owes:
                self._late_writer.wake()
            return claim

    def end(self, ended: Ended) -> None:
        """Take the outcome of the running attempt: write it now, with what waits, or keep it for a moment."""
        with self._desk.lock:
            now = self._moved_at = self._clock()
            self._mean_s += (now - self._begun_at - self._mean_s) * _WEIGHT
            if not self._unwritten:
                self._waiting_since = self._begun_at
            self._desk.hold()  # first: a time limit may raise in between, and nothing may be answered that is not written
            self._unwritten.setdefault(ended.attempt.token, ended)
            if ended.may_wait and now - self._waiting_since < BUDGET_S and self._is_next_claimed():
                self._late_writer.wake()
            else:
                self._write(self._next(int(BUDGET_S / self._mean_s)))

    def settle(self) -> None:
        """Write what waits."""
        with self._desk.lock:
            if self._unwritten:
                self._write([])
            else:
                self._desk.release()

    @property
    def owes(self) -> bool:
        """Whether something is held back, or claimed ahead."""
        return bool(self._unwritten or self._claimed)

    def hurry(self, store: AttemptStore) -> None:
        """Write outcomes that have waited too long, and hand back jobs that cannot begin. On a connection of the caller's.

        Raises one of DATABASE_ERRORS; then it is all as before.
        """
        with self._desk.lock:
            if not self.owes or self._clock() - self._moved_at < LATE_S:
                return
            if self._unwritten:
                self._record(store.turn(_outcomes(self._unwritten))[0])
                self._desk.flush()
            self._hand_back(store)

    def _rest(self) -> None:
        with self._desk.lock:
            self.settle()
            if self._desk.is_closed:
                self._hand_back(self._store)

    def _hand_back(self, store: AttemptStore) -> None:
        """Let others run what is claimed. What was asked to stop meanwhile does not come back from hand_back(), and ends."""
        if not self._claimed:
            return
        back = store.hand_back({token: task_id for token, (task_id, _) in self._claimed.items()})
        claimed, self._claimed = self._claimed, {}
        for task_id in back:
            log.info(Event.JOB_HANDED_BACK, task_id=str(task_id))
        stopped = [(Attempt(task_id, token, ""), _STOPPED) for token, (task_id, _) in claimed.items() if task_id not in back]
        if stopped:
            for token, status in store.turn(stopped)[0].items():
                log.info(Event.JOB_FINISHED, task_id=str(claimed[token][0]), status=status)

    def _write(self, wanted: list[Wanted]) -> None:
        asked_at = self._clock()
        statuses, claims = self._store.turn(_outcomes(self._unwritten), wanted)
        if not self._claimed:
            self._claimed_at = asked_at
        self._claimed |= {job.token: (job.task_id, claims[job.token]) for job in wanted if job.token in claims}
        self._moved_at = self._clock()
        self._record(statuses)

    def _record(self, statuses: dict[UUID, Status]) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        self._desk.release()
        for token, ended in unwritten.items():
            report(ended, statuses.get(token))

    def _next(self, count: int) -> list[Wanted]:
        """Return what the calls want that are next, up to count, at least one if there is one."""
        calls = self._desk.peek(min(max(1, count), MOST_AT_ONCE))
        jobs = [job for job in map(self._wanted_by, calls) if job is not None]
        return [job for job in jobs if job.token not in self._claimed]

    def _is_next_claimed(self) -> bool:
        return any((job := self._wanted_by(call)) is not None and job.token in self._claimed for call in self._desk.peek(1))


def report(ended: Ended, status: Status | None) -> None:
    """Log an outcome that was written. No status: it was fenced."""
    attempt, outcome = ended.attempt, ended.outcome
    fields: dict[str, Any] = {"task_id": str(attempt.task_id), "task": attempt.task, "attempt": ended.number}
    if status is None:
        log.warning(Event.JOB_FENCED, **fields, reason="the job belongs to another attempt by now; nothing was changed")
        return
    if isinstance(outcome, Failed):
        fields |= {"error": outcome.error, "exception": outcome.traceback}
    log.info(Event.JOB_FINISHED, status=status, **fields)


def _outcomes(unwritten: dict[UUID, Ended]) -> list[tuple[Attempt, Succeeded | Failed]]:
    return [(ended.attempt, ended.outcome) for ended in unwritten.values()]
