"""A call: what Celery asks the pool to run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billiard.einfo import ExceptionInfo


@dataclass(frozen=True, slots=True)
class Call:
    """What Celery asks the pool to run, and whom to tell. Times in seconds; None: no limit."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    on_accepted: Callable[[int, float], None]
    on_success: Callable[[Any], None]
    on_failure: Callable[[ExceptionInfo], None]
    on_timeout: Callable[[bool, float], None]
    soft_limit_s: float | None
    limit_s: float | None
