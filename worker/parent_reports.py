"""What only the worker's parent process knows of an attempt: killed at a limit, process gone, task unknown."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final
from uuid import UUID

import structlog

from core.database import REFUSALS
from core.events import Event
from core.settings import Settings
from core.states import Status
from worker.attempt_store import AttemptStore
from worker.outcome import Attempt, Failed, Killed, Lost, Outcome, RetryWanted, error_json, exception_json
from worker.retrying import Retrying

#: A task that no worker here knows is due again after this long, this often; then it is a failure.
UNKNOWN_DELAY_S: Final = 30.0
UNKNOWN_LIMIT: Final = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UnknownTask:
    """A message came whose task this worker does not know."""

    task_id: UUID
    series: int
    task: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages that wait for a slot here and will not get one."""

    task_ids: list[UUID]


Report = tuple[Attempt, Outcome] | UnknownTask | Waiting


class ParentReports:
    """The parent process's recorder. Its main loop must not wait for a database: it leaves reports here, a thread writes."""

    def __init__(self, settings: Settings, store: AttemptStore, retrying: Retrying, tasks: Mapping[str, Any]) -> None:
        self._max_losses = settings.max_losses
        self._store = store
        self._retrying = retrying
        self._tasks = tasks
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._unwritten: Report | None = None

    def record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Leave the outcome of an attempt whose pool process could not record it."""
        self._reports.put((attempt, outcome))

    def postpone(self, unknown: UnknownTask) -> None:
        """Leave a message whose task is not known here."""
        self._reports.put(unknown)

    def give_back(self, task_ids: list[UUID]) -> None:
        """Leave the jobs of messages that will not run here."""
        if task_ids:
            self._reports.put(Waiting(task_ids))

    def update_state(self, attempt: Attempt, meta: dict[str, Any]) -> None:
        """Progress comes from the pool process alone."""
        raise AssertionError(f"progress {meta} of {attempt} in the parent process")

    def state_of(self, task_id: UUID) -> tuple[Status, None]:  # noqa: ARG002  # the recorder's signature
        """Celery asks after a lost process whether it had succeeded before; the fenced statement will tell."""
        return Status.PENDING, None

    def wait(self, limit_s: float) -> None:
        """Return when there is a report to write, or after limit_s seconds."""
        if self._unwritten is None:
            with suppress(Empty):
                self._unwritten = self._reports.get(timeout=limit_s)

    def write(self) -> None:
        """Write the reports that are there.

        Raises one of DATABASE_ERRORS; the report that could not be written is kept for the next call. One that can never be
        written is dropped: what it is about is rescued, for the beats list it no longer.
        """
        while True:
            self.wait(0.0)
            if self._unwritten is None:
                return
            try:
                self._write(self._unwritten)
            except REFUSALS:
                log.exception(Event.WORKER_FAILED, reason=f"the database refuses a report: {self._unwritten!r:.500}")
            self._unwritten = None

    def hand_back(self, held: Mapping[UUID, UUID]) -> None:
        """Make attempts (task_id by token) that a stopping worker still holds due again."""
        for task_id in self._store.hand_back(held) if held else ():
            log.info(Event.JOB_HANDED_BACK, task_id=str(task_id))

    def running(self, held: Mapping[UUID, UUID]) -> dict[UUID, bool]:
        """Return the tokens of held attempts (task_id by token) that run; true for those that are asked to stop."""
        return self._store.running(held) if held else {}

    def _write(self, report: Report) -> None:
        match report:
            case UnknownTask():
                self._postpone(report)
            case Waiting(task_ids):
                self._store.give_back(task_ids)
            case (attempt, Lost(reason)):
                self._lose(attempt, reason)
            case (attempt, Killed(cause)):
                self._end_killed(attempt, cause)
            case (attempt, Failed() as outcome):
                self._finish(attempt, outcome)
            case (attempt, outcome):
                raise AssertionError(f"{outcome} of {attempt} is the pool process's to record")

    def _lose(self, attempt: Attempt, reason: str) -> None:
        error = error_json("WorkerLost", f"the process that ran it vanished: {reason}")
        is_last = self._store.lose(attempt, error, self._max_losses)
        if is_last is None:
            # It may have died before it could claim: nothing was lost then but the message.
            self._store.give_back([attempt.task_id])
        else:
            log.warning(Event.JOB_LOST, **_fields(attempt), reason=reason, is_finished=is_last)

    def _end_killed(self, attempt: Attempt, cause: Exception) -> None:
        retries_before = self._store.retries_before(attempt)
        if retries_before is None:
            return
        error = exception_json(cause) or "null"
        match self._retrying.after_kill(self._tasks[attempt.task], cause, error, retries_before):
            case RetryWanted(_, _, delay_s):
                wait_s = self._retrying.delay_s(retries_before) if delay_s is None else delay_s
                self._store.retry(attempt, error, None, wait_s)
                log.info(Event.JOB_RETRIED, **_fields(attempt), delay_s=round(wait_s, 3), error=error)
            case Failed() as outcome:
                self._finish(attempt, outcome)

    def _finish(self, attempt: Attempt, outcome: Failed) -> None:
        status = self._store.finish(attempt, outcome)
        if status is not None:
            log.info(Event.JOB_FINISHED, **_fields(attempt), status=status, error=outcome.error)

    def _postpone(self, unknown: UnknownTask) -> None:
        error = error_json("NotRegistered", f"no worker knows the task {unknown.task!r}; deploy the code that has it")
        if self._store.postpone(unknown.task_id, unknown.series, error, UNKNOWN_DELAY_S, UNKNOWN_LIMIT):
            log.warning(Event.JOB_POSTPONED, task_id=str(unknown.task_id), task=unknown.task, delay_s=UNKNOWN_DELAY_S)


def _fields(attempt: Attempt) -> dict[str, str]:
    return {"task_id": str(attempt.task_id), "task": attempt.task}
