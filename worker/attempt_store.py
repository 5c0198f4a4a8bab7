"""The statements of attempts. All may be sent twice without harm: each is fenced by series or token."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from core.acceptance import ACCEPT, NewJob, accept_parameters
from core.queries import load_query
from core.states import Status
from worker.connection import LazyConnection, text_array, uuid_array
from worker.outcome import TRACEBACK_LIMIT, Attempt, Failed, Succeeded, storable_text

CLAIM: Final = load_query("worker", "claim")
TURN: Final = load_query("worker", "turn")
IS_HELD: Final = load_query("worker", "is_held")
RETRY: Final = load_query("worker", "retry")
RETRIES: Final = load_query("worker", "retries")
PROGRESS: Final = load_query("worker", "progress")
HAND_BACK: Final = load_query("worker", "hand_back")
RUNNING: Final = load_query("worker", "running")
GIVE_BACK: Final = load_query("worker", "give_back")
POSTPONE: Final = load_query("worker", "postpone_unknown")
STATUS: Final = load_query("core", "status")
LOSE: Final = load_query("core", "lose")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a successful claim returns."""

    args: str
    links: str | None
    owner: str
    attempt: int
    retries: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a message asks for: the next attempt of a job, in one series. The token is the attempt's."""

    task_id: UUID
    series: int
    token: UUID


class AttemptStore:
    """Claims jobs and writes what became of them. What a broken connection means, the connection decides."""

    def __init__(self, connection: LazyConnection, worker: str) -> None:
        self._connection = connection
        self._worker = worker

    def claim(self, wanted: Wanted) -> Claim | None:
        """Take the job for this attempt. None: it is not ours to run, drop the message."""
        parameters = {"task_id": wanted.task_id, "series": wanted.series, "token": wanted.token, "worker": self._worker}
        rows = self._connection.execute(CLAIM, parameters)
        return Claim(*rows[0][:5]) if rows else None

    def turn(
        self, ended: Sequence[tuple[Attempt, Succeeded | Failed]], wanted: Sequence[Wanted] = ()
    ) -> tuple[dict[UUID, Status], dict[UUID, Claim]]:
        """Write outcomes and claim what is wanted next, in one commit; return both by token: what jobs are now, and claims.

        An outcome that is not among them was fenced: another attempt owns the job by now. A claim that is not among them
        says nothing: ask again with claim().
        """
        rows = self._connection.execute(TURN, turn_parameters(ended, wanted) | {"worker": self._worker})
        statuses = {token: Status(status) for token, status, *_ in rows if status is not None}
        claims = {token: Claim(*claim) for token, status, *claim in rows if status is None}
        for attempt, outcome in ended:
            if attempt.token not in statuses and self._holds(attempt):
                statuses |= self.turn([(attempt, outcome)])[0]
        return statuses, claims

    def finish(self, attempt: Attempt, outcome: Succeeded | Failed) -> Status | None:
        """Write one outcome and return the job's status. None: fenced."""
        return self.turn([(attempt, outcome)])[0].get(attempt.token)

    def _holds(self, attempt: Attempt) -> bool:
        """Whether the job is still this attempt's; waits for whoever has it locked."""
        return bool(self._connection.execute(IS_HELD, _identity(attempt)))

    def retry(self, attempt: Attempt, error: str, traceback: str | None, delay_s: float) -> Status | None:
        """Make the job due again after delay_s seconds and return its status, REVOKED if it was cancelled. None: fenced."""
        parameters = {"error": error, "traceback": _shorten(traceback), "delay_s": max(0.0, delay_s)}
        rows = self._connection.execute(RETRY, _identity(attempt) | parameters)
        return Status(rows[0][0]) if rows else None

    def retries_before(self, attempt: Attempt) -> int | None:
        """Return how many attempts of the job failed before this one; None: fenced."""
        rows = self._connection.execute(RETRIES, _identity(attempt))
        return int(rows[0][0]) if rows else None

    def progress(self, attempt: Attempt, progress: str) -> None:
        """Write how far the attempt has come; `progress` is JSON text."""
        self._connection.execute(PROGRESS, _identity(attempt) | {"progress": progress})

    def lose(self, attempt: Attempt, error: str, max_losses: int) -> bool | None:
        """Count the attempt as lost. True: that was the job's last; False: it is due again; None: fenced."""
        parameters = {"task_ids": [attempt.task_id], "tokens": [attempt.token], "error": error, "max_losses": max_losses}
        rows = self._connection.execute(LOSE, parameters)
        return bool(rows[0][1]) if rows else None

    def hand_back(self, held: Mapping[UUID, UUID]) -> list[UUID]:
        """Make the jobs (task_id by token) that still run here due again, at no cost; return those that did."""
        parameters = {"tokens": list(held), "task_ids": list(held.values())}
        return [row[0] for row in self._connection.execute(HAND_BACK, parameters)]

    def running(self, held: Mapping[UUID, UUID]) -> dict[UUID, bool]:
        """Return the tokens, of these jobs (task_id by token), whose attempts run; true for those that are asked to stop."""
        parameters = {"tokens": list(held), "task_ids": list(held.values())}
        return dict(self._connection.execute(RUNNING, parameters))

    def give_back(self, task_ids: list[UUID]) -> None:
        """Let the scheduler publish jobs again whose messages wait here in vain."""
        self._connection.execute(GIVE_BACK, {"task_ids": task_ids})

    def postpone(self, task_id: UUID, series: int, error: str, delay_s: float, limit: int) -> bool:
        """Make a job whose task is unknown here due again later, or end it with the limit-th time. False: there is none."""
        parameters = {"task_id": task_id, "series": series, "error": error, "delay_s": delay_s, "limit": limit}
        return bool(self._connection.execute(POSTPONE, parameters))

    def state_of(self, task_id: UUID) -> tuple[str, Any]:
        """Return status and result (else the error) of a job, decoded; PENDING for one that is not known, as Celery does."""
        rows = self._connection.execute(STATUS, {"task_ids": [task_id]})
        if not rows:
            return Status.PENDING, None
        status, result, error = rows[0][3:6]
        return status, json.loads(result or error or "null")

    def accept(self, job: NewJob) -> None:
        """Store a job that a running task submits."""
        self._connection.execute(ACCEPT, accept_parameters([job]))


def turn_parameters(ended: Sequence[tuple[Attempt, Succeeded | Failed]], wanted: Sequence[Wanted] = ()) -> dict[str, Any]:
    """Return what TURN takes beside the worker."""
    return {
        "task_ids": uuid_array(attempt.task_id for attempt, _ in ended),
        "tokens": uuid_array(attempt.token for attempt, _ in ended),
        "statuses": text_array(_status(outcome) for _, outcome in ended),
        "results": text_array(outcome.result if isinstance(outcome, Succeeded) else None for _, outcome in ended),
        "errors": text_array(outcome.error if isinstance(outcome, Failed) else None for _, outcome in ended),
        "tracebacks": text_array(
            _shorten(outcome.traceback) if isinstance(outcome, Failed) else None for _, outcome in ended
        ),
        "next_task_ids": uuid_array(job.task_id for job in wanted),
        "next_series": "{" + ",".join(str(job.series) for job in wanted) + "}",
        "next_tokens": uuid_array(job.token for job in wanted),
    }


def _status(outcome: Succeeded | Failed) -> Status:
    return Status.SUCCESS if isinstance(outcome, Succeeded) else Status.FAILURE


def _identity(attempt: Attempt) -> dict[str, Any]:
    return {"task_id": attempt.task_id, "token": attempt.token}


def _shorten(traceback: str | None) -> str | None:
    return None if traceback is None else storable_text(traceback, TRACEBACK_LIMIT)
