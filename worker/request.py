"""The request of one delivered message: here the attempt's token is minted, so that parent and pool process share it."""

from typing import Any
from uuid import UUID, uuid4

from celery.exceptions import InvalidTaskError
from celery.worker.request import Request
from celery.worker.state import task_ready

from worker.memory_watch import MemoryLimitExceeded


class HeldRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's Request with a token. The worker's heartbeat lists it until the message is acknowledged.

    The parent process reports time limits and killed children with what this request knows, so the token must be known
    before the pool process claims with it.
    """

    acknowledged: bool

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self.token = uuid4()
        self._request_dict["token"] = str(self.token)
        try:
            task_id = UUID(self.id)
        except ValueError as error:
            raise InvalidTaskError(f"{self.id!r} is not a job's id") from error  # Celery drops the message
        self.app.holdings.add(self.token, task_id, self)
        self.app.acknowledgements.arrive(message)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Only acknowledge what the pool process reports: it has recorded the outcome, whatever was raised."""
        if return_ok:
            task_ready(self)
            self.acknowledge()
            return
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        try:
            if isinstance(error, MemoryLimitExceeded):
                self._end_at_memory_limit(error, exc_info)
                return
            super().on_failure(exc_info, send_failed_event)
        finally:
            self.acknowledge()

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Acknowledge at the hard limit also when a handler of the task's own raises."""
        try:
            super().on_timeout(soft, timeout)
        finally:
            if not soft:
                self.acknowledge()

    def _end_at_memory_limit(self, error: MemoryLimitExceeded, exc_info: Any) -> None:
        """Do what Celery does at the hard time limit; of any MemoryError it would make one that says less."""
        task_ready(self)
        self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        self.task.on_failure(error, self.id, self.args, self.kwargs, exc_info)

    def acknowledge(self) -> None:
        """Acknowledge the message: the outcome is recorded, or on its way through the heartbeat."""
        if not self.acknowledged:
            self.acknowledged = True
            self.app.acknowledgements.finish(self._message)
        self.app.holdings.discard(self.token)

    def reject(self, requeue: bool = False) -> None:  # noqa: ARG002  # Celery's signature
        """Acknowledge it all the same: the row decides whether the job runs again, never the broker."""
        self.acknowledge()
