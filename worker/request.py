"""The request of one delivered message: here the attempt's token is minted, so that parent and pool process share it."""

from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID, uuid4

from celery import signals
from celery.worker.request import Request, create_request_cls
from celery.worker.state import task_ready, task_reserved

from worker.memory_watch import MemoryLimitExceeded

#: In place of a message's body: args, kwargs and what Celery embeds are in the row, and are read with the claim.
_EMPTY_BODY: Final[tuple[Any, ...]] = ((), {}, {})


def take_message(task: Any, app: Any, consumer: Any) -> Callable[..., None]:
    """Return what Celery calls with each message of a task: its Strategy, without what the rows decide here.

    Celery's own decodes a body that says nothing, here and in the pool process, and looks for dates, rates and revocations.
    """
    make_request = create_request_cls(HeldRequest, task, consumer.pool, consumer.hostname, None, app=app)

    def take(message: Any, _body: Any, ack: Any, reject: Any, callbacks: Iterable[Callable[[Any], None]]) -> None:
        request = make_request(
            message,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=consumer.hostname,
            task=task,
            connection_errors=consumer.connection_errors,
            body=_EMPTY_BODY,
            headers=message.headers,
            decoded=True,
        )
        signals.task_received.send(sender=consumer, request=request)
        task_reserved(request)
        for callback in callbacks:
            callback(request)
        consumer.on_task_request(request)

    return take


class HeldRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's Request with a token. The worker's heartbeat lists it until the message is acknowledged.

    The parent process reports time limits and killed children with what this request knows, so the token must be known
    before the pool process claims with it.
    """

    acknowledged: bool
    #: Which call of its pool process it is, when it has begun.
    call_number: int

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self.token = uuid4()
        self._request_dict["token"] = str(self.token)
        self.app.holdings.add(self.token, UUID(self.id), self)
        self.app.acknowledgements.arrive(message)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note that a pool process has begun with it."""
        self.call_number = self.app.task_pool.slot_of(pid).number
        super().on_accepted(pid, time_accepted)

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
