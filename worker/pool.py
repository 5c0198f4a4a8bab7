"""Celery's prefork pool, with an eye on its processes each second."""

from collections.abc import Callable
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool as CeleryTaskPool


class WatchedPool(AsynPool):  # type: ignore[misc]  # Celery has no types
    """A killed process's attempt is reported at the second look after its death; Celery looks each 5 s."""

    @property
    def timers(self) -> dict[Callable[[], Any], float]:
        """What the event loop calls repeatedly, with the interval in seconds."""
        return {self.maintain_pool: 1.0}


class TaskPool(CeleryTaskPool):  # type: ignore[misc]
    """The prefork pool of this worker."""

    Pool = WatchedPool
