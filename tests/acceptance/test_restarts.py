"""What the service promises when all of it is stopped, or killed, in the middle of its work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.acceptance.service import Service
from tests.faults.load import Load

JOBS: Final = 100
DRAIN_LIMIT_S: Final = 40.0


def test_stop_and_start_in_mid_load_loses_nothing(service: Service) -> None:
    with _load(service, "stop", extra_executions_bound=0):
        service.stack.stop()
        service.stack.start()


def test_kill_of_everything_and_start_in_mid_load_loses_nothing(service: Service) -> None:
    with _load(service, "kill", extra_executions_bound=len(service.stack.workers)):
        service.stack.kill()
        service.broker.kill()
        service.database.kill()
        service.database.start()
        service.broker.start()
        service.stack.start()


@contextmanager
def _load(service: Service, name: str, extra_executions_bound: int) -> Iterator[None]:
    """Run the block while jobs are submitted and run, and check that each came to its end, once."""
    service.checker.begin()
    load = Load(service.client, name, JOBS)
    try:
        load.release(0.6)
        service.checker.wait_finished(int(JOBS * 0.2))
        load.release()
        yield
        load.wait_accepted()
        service.checker.wait_drained(DRAIN_LIMIT_S)
    finally:
        load.close()
    verdict = service.checker.judge(load.accepted, extra_executions_bound)
    assert verdict.accepted == JOBS
    assert verdict.is_good, verdict
