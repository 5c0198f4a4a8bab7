"""The registry: every task that this service serves, with its route, queue, retries and signature."""

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from celery import Celery
from celery.exceptions import CDeprecationWarning, DuplicateTaskNameWarning

from core.errors import NotFoundError, TaskDefinitionError, TaskServiceError
from core.queues import DEFAULT_QUEUE
from core.settings import Settings
from core.signatures import Signature, signature_of
from core.strict_json import shorten
from core.task import enable_default_retry
from core.task_modules import foreign_task_problems, import_task_modules, is_inside
from core.task_options import OVERRIDDEN, is_declared, option_problems

#: The package whose tasks are retried after every exception unless they name some.
RETRIED_PACKAGE: Final = "tasks"

#: First path segments that are the service's own, now or later (docs: HTTP API).
RESERVED_ROUTES: Final = frozenset(
    {"auth", "client", "docs", "events", "favicon.ico", "healthz", "jobs", "keys", "metrics", "openapi.json", "queues"}
    | {"readyz", "redoc", "robots.txt", "scaling", "schedules", "static", "status", "tasks", "users", "workers", "workflows"}
)

_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class RetryRule:
    """When a task is run again after a failure: the exceptions (by name) that lead to it, and the wait.

    delay_s is the wait before each retry; None: exponential backoff, the longest wait before retry n is
    min(cap_s, base_s * 2 ** (n - 1)).
    """

    exceptions: tuple[str, ...] = ()
    not_exceptions: tuple[str, ...] = ()
    delay_s: float | None = None
    base_s: float = 1.0
    cap_s: float = 600.0


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What api, scheduler and worker know of one task.

    `name` is Celery's, `route` the path segment. `max_attempts` is the most attempts that can end in a failure of the task
    (None: no limit): also where no exception is retried automatically, for the task may call retry(). A limit that is None
    does not exist.
    """

    name: str
    route: str
    queue: str
    doc: str
    max_attempts: int | None
    signature: Signature
    priority: int = 0
    soft_time_limit_s: float | None = None
    time_limit_s: float | None = None
    retry: RetryRule = RetryRule()


@dataclass(frozen=True, slots=True)
class Registry:
    """The served tasks, by Celery name and by route. `unserved` are names of tasks that live outside TASK_MODULES."""

    specs: Mapping[str, TaskSpec]
    by_route: Mapping[str, TaskSpec]
    unserved: tuple[str, ...] = ()

    @property
    def queues(self) -> tuple[str, ...]:
        """The logical queues that tasks name, sorted."""
        return tuple(sorted({spec.queue for spec in self.specs.values()}))

    def find(self, name: str) -> TaskSpec:
        """Return a task by its Celery name or its route. Raises NotFoundError that suggests a similar name."""
        spec = self.specs.get(name) or self.by_route.get(name)
        if spec is not None:
            return spec
        similar = get_close_matches(shorten(name), [*self.by_route, *self.specs], n=1)
        hint = f"; did you mean '{similar[0]}'?" if similar else "."
        raise NotFoundError(f"unknown task '{shorten(name)}'{hint} GET /tasks lists all")


def load_registry(app: Celery, settings: Settings) -> Registry:
    """Import the modules of TASK_MODULES, finalize app and return its tasks. app becomes Celery's current and default app.

    Raises TaskDefinitionError that names every task which cannot be served, each with the way out.
    """
    entries = settings.task_module_names
    with warnings.catch_warnings():
        warnings.simplefilter("error", DuplicateTaskNameWarning)
        # Celery 6 will not route by queue= and the like; here the registry reads, or refuses, them itself.
        warnings.filterwarnings("ignore", r"\s*The '\w+' task attribute", CDeprecationWarning)
        modules = import_task_modules(app, entries)
        _raise_if_any(foreign_task_problems(app, modules, entries))
        _finalize(app)
    own = [task for name, task in sorted(app.tasks.items()) if is_inside(task.__module__, entries)]
    if not own:
        raise TaskDefinitionError(f"no task found in {', '.join(entries)}; decorate a function there with @shared_task")
    _raise_if_any(problem for task in own for problem in _problems(task))
    specs = [_spec(task, settings) for task in own]
    _raise_if_any(_clashes(specs))
    unserved = {name for name in app.tasks if not name.startswith("celery.")} - {spec.name for spec in specs}
    return Registry(
        specs=MappingProxyType({spec.name: spec for spec in specs}),
        by_route=MappingProxyType({spec.route: spec for spec in specs}),
        unserved=tuple(sorted(unserved)),
    )


def _raise_if_any(problems: Iterator[str]) -> None:
    if lines := list(problems):
        raise TaskDefinitionError("\n".join(lines))


def _finalize(app: Celery) -> None:
    try:
        app.finalize()
    except TaskServiceError:
        raise
    except DuplicateTaskNameWarning as warning:
        raise TaskDefinitionError(" ".join(str(warning).split())) from None
    except Exception as error:
        # Celery calls every decorator's options here, in no order: whatever they raise, the task is in the innermost frame.
        raise TaskDefinitionError(
            f"task '{_failing_task(error)}' cannot be made ({type(error).__name__}: {error}); correct its options"
        ) from error


def _failing_task(error: BaseException) -> str:
    name, step = "?", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_name == "_task_from_fun":
            seen = step.tb_frame.f_locals
            name = seen.get("name") or f"{seen['fun'].__module__}.{seen['fun'].__name__}"
        step = step.tb_next
    return name


def _problems(task: Any) -> Iterator[str]:
    if not getattr(task, "_decorated", False):
        yield (
            f"task '{task.name}' is a class given to register_task(), which binds it to one app; write"
            f" @shared_task(bind=True, base={type(task).__name__}) on a function instead"
        )
    yield from option_problems(task)
    if _SEGMENT.fullmatch(_route(task.name)) is None:
        yield (
            f"task '{task.name}': '{_route(task.name)}' cannot be a path; use letters, digits, '_', '-' and '.' in its name,"
            ' as in name="shop.mail"'
        )


def _spec(task: Any, settings: Settings) -> TaskSpec:
    for option, value in OVERRIDDEN.items():
        setattr(task, option, value)
    if is_inside(task.__module__, [RETRIED_PACKAGE]) and not is_declared(task, "autoretry_for"):
        enable_default_retry(task)
    return TaskSpec(
        name=task.name,
        route=_route(task.name),
        queue=getattr(task, "queue", None) or DEFAULT_QUEUE,
        doc=inspect.cleandoc(task.run.__doc__ or ""),
        max_attempts=_max_attempts(task),
        signature=signature_of(task),
        priority=task.priority or 0,
        soft_time_limit_s=task.soft_time_limit,
        time_limit_s=task.time_limit,
        retry=_retry_rule(task, settings),
    )


def _retry_rule(task: Any, settings: Settings) -> RetryRule:
    """Return what the task says, as Celery and core/task.py read it, or else the settings."""
    delay_s, base_s, cap_s = task.default_retry_delay, settings.retry_base_s, settings.retry_cap_s
    exceptions = tuple(getattr(task, "autoretry_for", ()))
    if exceptions:
        delay_s = getattr(task, "retry_kwargs", {}).get("countdown", delay_s)
        if backoff := getattr(task, "retry_backoff", False):
            delay_s, base_s, cap_s = None, int(max(1.0, float(backoff))), getattr(task, "retry_backoff_max", 600)
    return RetryRule(
        exceptions=tuple(item.__name__ for item in exceptions),
        not_exceptions=tuple(item.__name__ for item in getattr(task, "dont_autoretry_for", ())),
        delay_s=delay_s,
        base_s=float(base_s),
        cap_s=float(cap_s),
    )


def _route(name: str) -> str:
    return name.removeprefix("tasks.")


def _max_attempts(task: Any) -> int | None:
    retries: int | None = task.max_retries
    if getattr(task, "autoretry_for", ()):
        named: int | None = getattr(task, "retry_kwargs", {}).get("max_retries")
        retries = retries if named is None else named
    return None if retries is None else retries + 1


def _clashes(specs: list[TaskSpec]) -> Iterator[str]:
    taken = {spec.name: spec for spec in specs}
    for spec in specs:
        if spec.route in RESERVED_ROUTES:
            yield (
                f"task '{spec.name}' would be /{spec.route}, which is the service's own; give it another name, as in"
                f' @shared_task(name="my_{spec.route}")'
            )
        other = taken.setdefault(spec.route, spec)
        if other is not spec:
            yield (
                f"tasks '{other.name}' and '{spec.name}' would both be '{spec.route}'; give one another name, as in"
                f' @shared_task(name="other_{spec.route}")'
            )
