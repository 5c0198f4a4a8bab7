"""A case of the fault run: begin a load, disturb, and see to it that all is well in the end."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Final

from core.queues import DEFAULT_QUEUE
from core.settings import Settings
from scheduler.brokers import make_publisher
from tests.engines import EngineProcess
from tests.faults.checker import Checker, Verdict
from tests.faults.load import MIX, Load, Mix, Submission
from tests.stack import Stack


class FaultyStack:
    """The service and its engines, with what is needed to disturb them and to judge."""

    def __init__(self, stack: Stack, checker: Checker, broker: EngineProcess, database: EngineProcess) -> None:
        self.stack: Final = stack
        self.checker: Final = checker
        self.broker: Final = broker
        self.database: Final = database

    def begin(self) -> None:
        """See that all is well, and forget the jobs of cases before."""
        self.database.start()
        self.broker.start()
        self.stack.wait_until_ready()
        self.checker.begin()

    @contextmanager
    def load(self, name: str, size: int, rate: float | None = None, mix: Mix = MIX) -> Iterator[Load]:
        """Give a load of `size` jobs, `rate` in a second, on a stack that is well, and end it."""
        self.begin()
        load = Load(self.stack.client, name, size, rate, mix)
        try:
            yield load
        finally:
            load.close()

    def messages_ready(self) -> int:
        """Return how many messages wait in the broker."""
        urls: dict[str, Any] = {"database_url": self.stack.database_url, "broker_url": self.stack.broker_url}
        with closing(make_publisher(Settings(**urls))) as publisher:
            return publisher.ready(DEFAULT_QUEUE)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what the parts have logged of an event since begin()."""
        since = self.checker.begun_at.strftime("%Y-%m-%dT%H:%M:%S")
        lines = [line for part in self.stack.parts for line in self.stack.logged(part)]
        return [line for line in lines if line["event"] == event and line["timestamp"] >= since]

    def conclude(
        self, load: Load, disturbed_at: float, extra_executions_bound: int, limit_s: float | None = None
    ) -> Verdict:
        """Wait for the end of all jobs and judge; see conclude()."""
        return conclude(self.checker, load, disturbed_at, extra_executions_bound, limit_s)


def conclude(
    checker: Checker, load: Load, disturbed_at: float, extra_executions_bound: int, limit_s: float | None = None
) -> Verdict:
    """Wait for the end of all jobs and judge; disturbed_at is the time.time() at which the last disturbance was over.

    limit_s: what the case may take from here on, beyond what its own work takes. Raises AssertionError for a key that has
    made no job, or two.
    """
    load.wait_accepted(limit_s=drain_limit_s(load.size))
    verdict = judge(checker, load.accepted, disturbed_at, extra_executions_bound, limit_s)
    keys = checker.jobs_with_key()
    assert set(keys) == load.keys
    assert set(keys.values()) <= {1}
    return verdict


def judge(
    checker: Checker,
    accepted: Mapping[str, Submission],
    disturbed_at: float,
    extra_executions_bound: int,
    limit_s: float | None = None,
) -> Verdict:
    """Wait for the end of all jobs and judge, when all have been accepted. Otherwise as conclude()."""
    submitted_at = time.time()
    limit_s = limit_s or drain_limit_s(len(accepted))
    recovered_s = checker.recovery_s(disturbed_at, limit_s)
    checker.wait_drained(limit_s)
    drained_s = time.time() - max(submitted_at, disturbed_at)
    verdict = checker.judge(accepted, extra_executions_bound)
    return replace(verdict, drained_s=drained_s, recovered_s=recovered_s)


def drain_limit_s(jobs: int) -> float:
    """Return what a load may take beyond the work itself: rescue, republication, reconnection; in seconds."""
    return 60 + jobs / 50
