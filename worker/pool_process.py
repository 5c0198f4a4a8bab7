"""What happens in a pool process: claim the job, run Celery's own tracer around the task, record the outcome."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from celery.app.trace import trace_ok_t

from core.acceptance import LOCAL_OWNER, NewJob, new_task_id
from core.events import Event
from core.queue_names import QUEUE_NAME_RULE, is_queue_name
from core.registry import Registry
from core.states import Status
from core.strict_json import dumps, encode_result
from core.task import UnsupportedCallError
from worker.attempt_store import AttemptStore, Claim, Wanted
from worker.ledger import Ended, Ledger
from worker.outcome import Attempt, Failed, Killed, Lost, Outcome, RetryWanted, Succeeded, error_json, exception_json
from worker.retrying import Retrying

#: At most this often a task's progress reaches the database.
PROGRESS_INTERVAL_S: Final = 0.25
PROGRESS_LIMIT_BYTES: Final = 16_384

_SUBMIT_OPTIONS: Final = {"countdown", "eta", "link", "parent_id", "root_id", "priority", "queue"}
_DROPPED: Final = trace_ok_t(None, None, 0.0, None)

Tracer = Callable[[str, Any, Any, dict[str, Any]], Any]
log = structlog.get_logger()


class PoolProcess:
    """One slot: claims, runs and records, one attempt at a time. It is Celery's recorder and the tasks' runtime."""

    def __init__(self, store: AttemptStore, registry: Registry, retrying: Retrying, ledger: Ledger) -> None:
        self._store = store
        self._registry = registry
        self._retrying = retrying
        self._ledger = ledger
        self._claim: Claim | None = None
        self._attempt: Attempt | None = None
        self._progress_at = 0.0

    def claiming(self, name: str, tracer: Tracer) -> Tracer:
        """Return tracer behind a claim: a message whose job is not ours to run is dropped before the task sees it."""

        def trace(uuid: str, _args: Any, _kwargs: Any, request: dict[str, Any]) -> Any:
            wanted = _wanted(uuid, request)
            attempt = Attempt(wanted.task_id, wanted.token, name)
            claim = self._ledger.claim(wanted)
            if claim is None:
                log.info(Event.JOB_DROPPED, task_id=uuid, task=name, reason="not due in this series")
                return _DROPPED
            with structlog.contextvars.bound_contextvars(task_id=uuid, task=name, attempt=claim.attempt):
                return self._run(attempt, claim, tracer, request)

        return trace

    def _run(self, attempt: Attempt, claim: Claim, tracer: Tracer, request: dict[str, Any]) -> Any:
        log.debug(Event.JOB_CLAIMED)
        self._attempt, self._claim = attempt, claim
        try:
            kwargs = self._registry.find(attempt.task).signature.to_kwargs(claim.args)
        except Exception as error:  # noqa: BLE001  # the task's code may have changed since the job was accepted
            self.record(attempt, Failed(exception_json(error) or "null"))
            return _DROPPED
        request["retries"] = claim.retries
        request["callbacks"] = None if claim.links is None else json.loads(claim.links)
        try:
            returned = tracer(str(attempt.task_id), (), kwargs, request)
            self._record_ignored(attempt, returned)
            return returned
        finally:
            self._attempt = self._claim = None

    def _record_ignored(self, attempt: Attempt, returned: Any) -> None:
        """Celery records nothing for Ignore and Reject; a job must end."""
        if returned.info is not None and returned.info.state in ("IGNORED", "REJECTED"):
            name = type(returned.info.retval).__name__
            self.record(attempt, Failed(error_json(name, f"the task raised {name}, which ends the job without a result")))

    def record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write what became of the running attempt."""
        match outcome:
            case Succeeded() | Failed():
                number, links = (0, None) if self._claim is None else (self._claim.attempt, self._claim.links)
                self._ledger.end(Ended(attempt, outcome, number, has_links=links is not None))
            case RetryWanted(error, traceback, delay_s):
                retries = 0 if self._claim is None else self._claim.retries
                wait_s = self._retrying.delay_s(retries) if delay_s is None else delay_s
                self._ledger.settle()
                status = self._store.retry(attempt, error, traceback, wait_s)
                event = Event.JOB_FINISHED if status is Status.REVOKED else Event.JOB_RETRIED
                self._report(event, status, delay_s=round(wait_s, 3), error=error)
            # The task raised it itself, as what it runs in turn may have been killed or lost.
            case Killed(cause):
                self.record(attempt, Failed(exception_json(cause) or "null"))
            case Lost(reason):
                self.record(attempt, Failed(error_json("WorkerLostError", reason)))

    def _report(self, event: Event, status: Status | None, **fields: Any) -> None:
        if status is None:
            log.warning(Event.JOB_FENCED, reason="the job belongs to another attempt by now; nothing was changed")
        else:
            log.info(event, status=status, **fields)

    def progress(self, done: Any, total: Any = None) -> None:
        """Write the attempt's progress, at most once in PROGRESS_INTERVAL_S unless it is the end."""
        if self._attempt is None:
            return
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_INTERVAL_S and done != total:
            return
        self._progress_at = now
        self._store.progress(self._attempt, encode_result({"done": done, "total": total}, PROGRESS_LIMIT_BYTES))

    def update_state(self, attempt: Attempt, meta: dict[str, Any]) -> None:
        """Celery's update_state: its meta is shown as the progress."""
        self._store.progress(attempt, encode_result(meta, PROGRESS_LIMIT_BYTES))

    def state_of(self, task_id: UUID) -> tuple[str, Any]:
        """Return the status and the result, or the error, of any job, for Celery's AsyncResult."""
        return self._store.state_of(task_id)

    def submit(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> UUID:
        """Accept a job on behalf of the running one: same owner, and its parent is noted."""
        unknown = {key for key, value in options.items() if value is not None} - _SUBMIT_OPTIONS
        if unknown:
            raise UnsupportedCallError(f"{task}: apply_async() takes no {', '.join(sorted(unknown))} here; leave it out")
        spec = self._registry.find(task)
        _check_queue(task, options)
        job = NewJob(
            task_id=new_task_id(),
            task=spec.name,
            queue=options.get("queue") or spec.queue,
            args=spec.signature.bind(args, kwargs),
            owner=LOCAL_OWNER if self._claim is None else self._claim.owner,
            priority=spec.priority if options.get("priority") is None else int(options["priority"]),
            links=_links(task, options.get("link")),
            parent_id=None if self._attempt is None else self._attempt.task_id,
            max_attempts=spec.max_attempts,
            delay_s=float(options.get("countdown") or 0.0),
        )
        eta = options.get("eta")
        if eta is not None:
            job = replace(job, eta=eta if isinstance(eta, datetime) else datetime.fromisoformat(eta))
        self._store.accept(job)
        log.info(Event.JOB_ACCEPTED, child_id=str(job.task_id), child_task=job.task)
        return job.task_id


def _wanted(uuid: str, request: Mapping[str, Any]) -> Wanted:
    """Return what a request will claim. Raises TypeError or ValueError for one that nobody of ours has made."""
    return Wanted(UUID(uuid), int(request.get("series", 0)), UUID(request["token"]))


def wanted_by(call: Any) -> Wanted | None:
    """Return what a call of Celery's tracer will claim; None for one that will fail at that."""
    _, (_, uuid, request, *_), _ = call
    try:
        return _wanted(uuid, request)
    except (TypeError, ValueError):
        return None


def _check_queue(task: str, options: Mapping[str, Any]) -> None:
    """Raise UnsupportedCallError for a queue that no broker could have."""
    queue = options.get("queue")
    if queue and not is_queue_name(queue):
        raise UnsupportedCallError(f"{task}: {queue!r:.120} cannot be a queue's name; write {QUEUE_NAME_RULE}")


def _links(task: str, link: Any) -> str | None:
    if link is None:
        return None
    links = [dict(signature) for signature in (link if isinstance(link, list | tuple) else [link])]
    if len(links) > 1:
        raise UnsupportedCallError("apply_async() takes one link; a second call belongs into the linked task")
    for signature in links:
        _check_queue(str(signature.get("task", task)), signature.get("options") or {})
    return dumps(links)
