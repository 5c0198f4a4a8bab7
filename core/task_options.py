"""Celery's task options in one table: which are honoured, which are overridden, which are refused and what to write instead.

docs/reference/task_options.md is made from OPTIONS. A refused option, or an honoured one with an unusable value, stops the
start: a task must not run otherwise than its author believes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from core.queue_names import QUEUE_NAME_RULE, is_queue_name

_UNSET: Final = object()
_RETRY_KWARGS: Final = frozenset({"countdown", "max_retries"})


class Treatment(StrEnum):
    """What becomes of an option."""

    HONOURED = "honoured"
    OVERRIDDEN = "overridden"
    REFUSED = "refused"


def _nothing(_: Any) -> bool:
    return False


def _is_falsy(value: Any) -> bool:
    return not value


@dataclass(frozen=True, slots=True)
class TaskOption:
    """One option: `note` says what it does or what to write instead; a value for which is_usable fails stops the start."""

    name: str
    treatment: Treatment
    note: str
    is_usable: Callable[[Any], bool]
    #: What every task gets, for an overridden option.
    forced: Any = None


def _honoured(name: str, note: str, is_usable: Callable[[Any], bool] = lambda _: True) -> TaskOption:
    return TaskOption(name, Treatment.HONOURED, note, is_usable)


def _overridden(name: str, forced: Any, note: str) -> TaskOption:
    return TaskOption(name, Treatment.OVERRIDDEN, note, lambda _: True, forced)


def _refused(name: str, note: str, is_harmless: Callable[[Any], bool] = _is_falsy) -> TaskOption:
    return TaskOption(name, Treatment.REFUSED, note, is_harmless)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_seconds(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


def _is_backoff(value: Any) -> bool:
    return isinstance(value, bool) or _is_seconds(value)


def _are_exceptions(value: Any) -> bool:
    return isinstance(value, tuple | list | set | frozenset) and all(
        isinstance(item, type) and issubclass(item, BaseException) for item in value
    )


def _is_queue(value: Any) -> bool:
    return value is None or is_queue_name(value)


def _is_priority(value: Any) -> bool:
    return _is_count(value) and (value is None or value <= 9)


def _are_retry_kwargs(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() <= _RETRY_KWARGS and _is_count(value.get("max_retries"))


OPTIONS: Final = (
    _honoured("name", "The task's name; the route is the name without a leading `tasks.`."),
    _honoured("bind", "The function gets the task as `self`: `self.retry()`, `self.progress()`, `self.request`."),
    _honoured("base", "A base class of the task's own; the service's class is put behind it."),
    _honoured("queue", f"a queue's name: {QUEUE_NAME_RULE}, as in queue='mail'", _is_queue),
    _honoured("priority", "a number from 0 (default) to 9 (first), for jobs that name none", _is_priority),
    _honoured("max_retries", "a number of retries, 0 for none, or None for no limit", _is_count),
    _honoured("default_retry_delay", "seconds to wait before every retry, or None for exponential backoff", _is_seconds),
    _honoured("autoretry_for", "a tuple of exception classes, as in autoretry_for=(OSError,)", _are_exceptions),
    _honoured("dont_autoretry_for", "a tuple of exception classes, as in dont_autoretry_for=(ValueError,)", _are_exceptions),
    _honoured("retry_kwargs", "a dict of max_retries and countdown, no other keys", _are_retry_kwargs),
    _honoured("retry_backoff", "True, or the seconds before the first retry", _is_backoff),
    _honoured("retry_backoff_max", "the longest wait in seconds", _is_seconds),
    _honoured("retry_jitter", "True or False"),
    _honoured("time_limit", "seconds until an attempt's process is killed", _is_seconds),
    _honoured("soft_time_limit", "seconds until SoftTimeLimitExceeded is raised in the task", _is_seconds),
    _honoured("throws", "a tuple of exception classes that are logged without a traceback", _are_exceptions),
    _overridden("typing", True, "Arguments are checked against the signature in any case."),
    _overridden("ignore_result", False, "Every outcome is recorded."),
    _overridden("store_errors_even_if_ignored", True, "Every outcome is recorded."),
    _overridden("acks_late", True, "A message is acknowledged when the outcome is recorded; the job's row decides."),
    _overridden("acks_on_failure_or_timeout", True, "As acks_late."),
    _overridden("acks_on_failure", True, "As acks_late."),
    _overridden("acks_on_timeout", True, "As acks_late."),
    _overridden("track_started", False, "The claim records the start."),
    _overridden("send_events", False, "The job's row and the logs tell what happens."),
    _overridden("trail", False, "A job names its parent."),
    _overridden("store_eager_result", False, "There are no eager results."),
    _overridden("resultrepr_maxsize", 0, "Results are not logged."),
    _refused("rate_limit", "Celery counts it per worker, not for all; leave it out and give the task a queue= of its own"),
    _refused("expires", "leave it out; a job's expiry is its caller's, as expires_s in the request"),
    _refused("countdown", "leave it out; a job's delay is its caller's: POST ...?delay_s=5"),
    _refused("eta", "leave it out; a job's time is its caller's: POST ...?eta=2030-01-01T00:00:00Z"),
    _refused("serializer", "arguments and results are JSON; leave it out", lambda value: value in (None, "json")),
    _refused("compression", "a message carries no arguments; leave it out"),
    _refused("exchange", "messages go to queues by name; write queue='...' instead"),
    _refused("exchange_type", "messages go to queues by name; write queue='...' instead"),
    _refused("routing_key", "messages go to queues by name; write queue='...' instead"),
    _refused("delivery_mode", "messages are persistent; leave it out", lambda value: value in (None, 2, "persistent")),
    _refused("backend", "outcomes are recorded in PostgreSQL; leave it out"),
    _refused("reject_on_worker_lost", "a lost attempt is rescued in any case; leave it out"),
    _refused("retry_on_worker_lost", "a lost attempt is rescued in any case; leave it out"),
    _refused("pydantic", "annotated parameters are always validated, and models in a result become JSON; leave it out"),
    _refused("Request", "the claim depends on the service's own request class; leave it out", _nothing),
    _refused("Strategy", "the claim depends on Celery's default strategy; leave it out", _nothing),
)

#: What every task gets, whatever it says.
OVERRIDDEN: Final[Mapping[str, Any]] = {
    option.name: option.forced for option in OPTIONS if option.treatment is Treatment.OVERRIDDEN
}

_NAMES: Final = frozenset(option.name for option in OPTIONS)


def option_problems(task: Any) -> Iterator[str]:
    """Yield a sentence for each option of a registered task with which it cannot be served as its author believes."""
    for option in OPTIONS:
        value = declared(task, option.name)
        if value is _UNSET or option.is_usable(value):
            continue
        if option.treatment is Treatment.REFUSED:
            yield f"task '{task.name}': option {option.name}={value!r} is not supported: {option.note}"
        else:
            yield f"task '{task.name}': option {option.name}={value!r} is unusable; write {option.note}"
    for name in _unknown_options(task):
        # Celery makes any option an attribute, so that a base class can read its own; a slip of the pen vanishes there.
        for known in get_close_matches(name, _NAMES, n=1, cutoff=0.8):
            yield f"task '{task.name}': there is no option {name}; did you mean {known}?"


def is_declared(task: Any, option: str) -> bool:
    """Tell whether the task, by its decorator or a base class of its own, says something about the option."""
    return declared(task, option) is not _UNSET


def declared(task: Any, option: str) -> Any:
    """Return what the task says about an option, by its decorator or a base class of its own."""
    if option == "pydantic":  # Celery consumes it; what it leaves is this
        return getattr(task, "_dump_pydantic_arguments", None) is not None
    # bind() copies the configuration into the task's own class: values that say nothing, for this service sets them.
    return next((vars(owner)[option] for owner in _own_classes(task) if option in vars(owner)), _UNSET)


def _own_classes(task: Any) -> Iterable[type]:
    """Return the classes of a task that are neither Celery's nor the service's."""
    foreign = ("celery.", "core.")
    return [owner for owner in type(task).__mro__ if owner is not object and not owner.__module__.startswith(foreign)]


def _unknown_options(task: Any) -> Iterable[str]:
    names = [name for name in vars(type(task)) if not name.startswith("_") and name not in _NAMES]
    return [name for name in names if not any(hasattr(base, name) for base in type(task).__mro__[1:])]
