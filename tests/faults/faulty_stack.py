"""A case of the fault run: begin a load, disturb, and see to it that all is well in the end."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from core.queues import DEFAULT_QUEUE
from core.settings import Settings
from scheduler.brokers import make_publisher
from tests.engines import EngineProcess
from tests.faults.checker import Checker, Verdict
from tests.faults.load import Load
from tests.stack import Stack

#: FAULT_JOBS=5000 ./dev test tests/faults is the long form.
JOBS: Final = int(os.environ.get("FAULT_JOBS", "500"))

#: What a case may take beyond the work itself: rescue, republication, reconnection.
DRAIN_LIMIT_S: Final = 60 + JOBS / 50


class FaultyStack:
    """The service and its engines, with what is needed to disturb them and to judge."""

    def __init__(self, stack: Stack, checker: Checker, broker: EngineProcess, database: EngineProcess) -> None:
        self.stack: Final = stack
        self.checker: Final = checker
        self.broker: Final = broker
        self.database: Final = database

    @contextmanager
    def load(self, name: str) -> Iterator[Load]:
        """Give a load of JOBS jobs on a stack that is well, and end it."""
        self.database.start()
        self.broker.start()
        self.stack.wait_until_ready()
        self.checker.begin()
        load = Load(self.stack.client, name, JOBS)
        try:
            yield load
        finally:
            load.close()

    def wait_finished(self, share: float) -> None:
        """Return when this share of all jobs has finished."""
        self.checker.wait_finished(int(JOBS * share), DRAIN_LIMIT_S)

    def messages_ready(self) -> int:
        """Return how many messages wait in the broker."""
        urls: dict[str, Any] = {"database_url": self.stack.database_url, "broker_url": self.stack.broker_url}
        with closing(make_publisher(Settings(**urls))) as publisher:
            return publisher.ready(DEFAULT_QUEUE)

    def conclude(self, load: Load, disturbed_at: float, extra_executions_bound: int) -> Verdict:
        """Wait for the end of all jobs and judge; disturbed_at is the time.time() at which the last disturbance was over."""
        load.wait_accepted(limit_s=DRAIN_LIMIT_S)
        submitted_at = time.time()
        recovery_s = self.checker.recovery_s(disturbed_at, DRAIN_LIMIT_S)
        self.checker.wait_drained(DRAIN_LIMIT_S)
        drain_s = time.time() - max(submitted_at, disturbed_at)
        return self.checker.judge(load.accepted, extra_executions_bound, drain_s, recovery_s)
