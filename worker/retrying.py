"""Whether a failed attempt is followed by another one, and when."""

from collections.abc import Mapping
from random import Random
from typing import Any

from celery.utils.time import get_exponential_backoff_interval

from core.retry_policy import RetryPolicy, next_delay_s
from core.settings import Settings
from worker.outcome import Failed, RetryWanted


class Retrying:
    """The retry policy, applied to attempts: the task decides whether, the policy decides when."""

    def __init__(self, settings: Settings, rng: Random) -> None:
        self._policy = RetryPolicy(base_s=settings.retry_base_s, cap_s=settings.retry_cap_s)
        self._rng = rng

    def delay_s(self, retries_before: int) -> float:
        """Return the wait after an attempt before which retries_before others had failed."""
        return next_delay_s(retries_before + 1, self._policy, self._rng)

    def after_kill(self, task: Any, error: BaseException, error_text: str, retries_before: int) -> RetryWanted | Failed:
        """Decide for an attempt that could not decide itself, because its process was killed at a limit."""
        is_covered = isinstance(error, tuple(getattr(task, "autoretry_for", ()))) and not isinstance(
            error, tuple(getattr(task, "dont_autoretry_for", ()))
        )
        options = getattr(task, "retry_kwargs", {})
        limit = options.get("max_retries", task.max_retries)
        if is_covered and (limit is None or retries_before < limit):
            return RetryWanted(error_text, None, _asked_delay_s(task, options, retries_before))
        return Failed(error_text)


def _asked_delay_s(task: Any, options: Mapping[str, Any], retries_before: int) -> float | None:
    """Return the wait that the task asks for, as Celery's autoretry does; None: it leaves that to the policy."""
    backoff = getattr(task, "retry_backoff", False)
    if backoff:
        return float(
            get_exponential_backoff_interval(
                factor=int(max(1.0, backoff)),
                retries=retries_before,
                maximum=getattr(task, "retry_backoff_max", 600),
                full_jitter=getattr(task, "retry_jitter", True),
            )
        )
    delay_s: float | None = options.get("countdown", task.default_retry_delay)
    return delay_s
