"""Celery's result backend, where every outcome of an attempt arrives: from the pool process, or from its parent."""

from typing import Any
from uuid import UUID

from billiard.exceptions import WorkerLostError
from celery import states
from celery.app.task import Context
from celery.backends.base import BaseBackend
from celery.exceptions import TimeLimitExceeded

from core.errors import ResultError
from core.strict_json import encode_result
from worker.memory_watch import MemoryLimitExceeded
from worker.outcome import Attempt, Failed, Killed, Lost, Outcome, RetryWanted, Succeeded, exception_json


class OutcomeBackend(BaseBackend):  # type: ignore[misc]  # Celery has no types
    """Turns what Celery reports into outcomes and gives them to the app's recorder.

    The same call comes from two processes: the pool process records directly, its parent (limits, killed child) leaves
    it to the heartbeat's thread. Which one it is, the recorder knows.
    """

    supports_autoexpire = True

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Context = None, **_: Any
    ) -> Any:
        """Record how an attempt ended; other states than Celery's own are progress."""
        attempt = attempt_of(task_id, request)
        if attempt is None:
            return result
        if state in states.READY_STATES or state == states.RETRY:
            self.app.recorder.record(attempt, self._outcome(result, state, traceback, request))
        elif isinstance(result, dict):
            self.app.recorder.update_state(attempt, result)
        return result

    def _outcome(self, result: Any, state: str, traceback: str | None, request: Context) -> Outcome:
        match state, result:
            case states.SUCCESS, _:
                return self._success(result)
            case states.RETRY, _:
                # set by ServiceTask.retry(); a task may raise Celery's Retry itself
                delay_s = getattr(request, "retry_delay_s", None)
                return RetryWanted(exception_json(result) or "null", traceback, delay_s)
            case _, TimeLimitExceeded() | MemoryLimitExceeded():
                return Killed(result)
            case states.REVOKED, _:
                return Lost(f"its process was terminated ({result})")
            case _, WorkerLostError():
                return Lost(str(result))
            case _:
                return Failed(exception_json(result) or "null", traceback)

    def _success(self, result: Any) -> Outcome:
        try:
            return Succeeded(encode_result(result, self.app.settings.result_limit_bytes))
        except ResultError as error:
            return Failed(exception_json(error) or "null")

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        """Return what Celery's AsyncResult shows; inside a task, the row's present state."""
        status, result = self.app.recorder.state_of(UUID(task_id))
        return {"task_id": task_id, "status": status, "result": result}


def attempt_of(task_id: str, request: Any) -> Attempt | None:
    """Return which attempt a Celery request is, or None for a message that was not the scheduler's."""
    token = getattr(request, "token", None)
    return None if token is None else Attempt(UUID(task_id), UUID(token), request.task)
