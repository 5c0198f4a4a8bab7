"""The base class of every task: Celery's own, with retries and calls that go through PostgreSQL."""

from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn, Protocol
from uuid import UUID

from celery import Task
from celery.app.autoretry import add_autoretry_behaviour
from celery.exceptions import MaxRetriesExceededError, Retry

from core.errors import TaskServiceError


class TaskRuntime(Protocol):
    """What a running task can ask of the worker around it."""

    def submit(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> UUID:
        """Accept a job on behalf of the running one and return its task_id."""

    def progress(self, done: float, total: float) -> None:
        """Note how far the running attempt has come."""


class UnsupportedCallError(TaskServiceError):
    """A Celery call that cannot keep this service's promise."""

    code = "unsupported_call"


class ServiceTask(Task):  # type: ignore[misc]  # Celery has no types
    """A task whose retries and calls are rows in PostgreSQL.

    `retry()` keeps Celery's meaning and publishes nothing: the outcome RETRY makes the job due again at its time. A bare
    retry waits as the retry policy says. A task with a base class of its own gets this class mixed in behind it.
    """

    abstract = True
    #: Celery's 3 min default is replaced by exponential backoff; a task that sets a number waits that long, always.
    default_retry_delay: ClassVar[float | None] = None

    def retry(  # noqa: PLR0917  # Celery's signature
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """End this attempt and run the job again later, as Celery's Task.retry.

        Raises Retry, or exc (else MaxRetriesExceededError) when no retries are left. New arguments and broker options
        cannot be given: a job keeps the arguments it was accepted with.
        """
        request = self.request
        if request.called_directly:
            _raise(exc or Retry("Task can be retried", None))
        if (args is not None and tuple(args) != tuple(request.args or ())) or (
            kwargs is not None and kwargs != request.kwargs
        ):
            raise UnsupportedCallError(
                f"{self.name}: retry() cannot change the arguments of an accepted job; submit a new one with apply_async()"
            )
        if options:
            raise UnsupportedCallError(f"{self.name}: retry() takes no {', '.join(sorted(options))} here; leave it out")
        limit = self.max_retries if max_retries is None else max_retries
        if limit is not None and request.retries >= limit:
            _raise(exc or MaxRetriesExceededError(f"Can't retry {self.name}[{request.id}] after {limit} retries"))
        delay_s = _delay_s(countdown, eta, self.default_retry_delay)
        # Celery hands the request to the result backend, but not the Retry.
        request.retry_delay_s = delay_s
        reason = Retry(exc=exc, when=delay_s)
        if throw:
            raise reason from exc
        return reason

    def progress(self, done: float, total: float) -> None:
        """Show how far the running attempt has come, in GET /status. At most a few writes a second reach the database."""
        runtime = self.app.runtime
        if runtime is not None and not self.request.called_directly:
            runtime.progress(done, total)

    def apply_async(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """Submit this task as a job of its own, as Celery's Task.apply_async."""
        return self.app.send_task(self.name, args, kwargs, task_id=task_id, **options)

    def replace(self, sig: Any) -> NoReturn:
        """Not supported: a job's outcome is its own task's."""
        raise UnsupportedCallError(
            f"{self.name}: replace() is not supported; submit {sig} with apply_async() and return its id"
        )

    def add_to_chord(self, sig: Any, lazy: bool = False) -> NoReturn:  # noqa: ARG002  # Celery's signature
        """Not supported: there are no chords."""
        raise UnsupportedCallError(f"{self.name}: chords are not supported; submit {sig} with apply_async()")


def enable_default_retry(task: Any) -> None:
    """Retry task after every exception, as tasks in the package `tasks` are unless they say for what."""
    if not getattr(task, "autoretry_for", ()):
        task.autoretry_for = (Exception,)
        add_autoretry_behaviour(task, autoretry_for=(Exception,))


def _delay_s(countdown: float | None, eta: datetime | None, default_s: float | None) -> float | None:
    if countdown is not None:
        return float(countdown)
    if eta is not None:
        return (eta - datetime.now(eta.tzinfo or UTC)).total_seconds()
    return default_s


def _raise(error: BaseException) -> NoReturn:
    raise error
