"""The relay when its broker or its database is away."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.events import Event
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import wait_for
from tests.engines import EngineProcess


@pytest.fixture
def broker(request: pytest.FixtureRequest, broker_url: str) -> EngineProcess:
    """The engine behind broker_url."""
    engine: EngineProcess = request.getfixturevalue("rabbitmq" if broker_url.startswith("amqp") else "valkey")
    return engine


def test_a_broker_that_is_away_costs_nothing_but_time(broker: EngineProcess, scheduler_rig: SchedulerRig) -> None:
    with capture_logs() as logs, scheduler_rig.running(scheduler_rig.relay()):
        scheduler_rig.accept(10)
        scheduler_rig.wait_until_marked(10)
        broker.kill()
        accepted = scheduler_rig.accept(10)
        wait_for(lambda: Event.BROKER_LOST in events(logs), "the loss of the broker")
        assert scheduler_rig.count("published_at IS NULL") == 10
        broker.start()
        scheduler_rig.wait_until_marked(20)
    assert events(logs) == [Event.BROKER_LOST, Event.BROKER_RESTORED]
    assert {task_id for task_id, _ in scheduler_rig.published()} >= set(accepted)


def test_a_relay_starts_before_its_broker(valkey: EngineProcess, database_rig: SchedulerRig) -> None:
    [task_id] = database_rig.accept()
    valkey.kill()
    with capture_logs() as logs, database_rig.running(database_rig.relay()):
        wait_for(lambda: Event.BROKER_LOST in events(logs), "the loss of the broker")
        valkey.start()
        database_rig.wait_until_marked(1)
    assert database_rig.published() == [(task_id, 1)]


def test_a_database_that_is_away_is_waited_for(postgres: EngineProcess, database_rig: SchedulerRig) -> None:
    with capture_logs() as logs, database_rig.running(database_rig.relay()):
        database_rig.accept()
        database_rig.wait_until_marked(1)
        postgres.kill()
        wait_for(lambda: Event.STORE_LOST in events(logs), "the loss of the database")
        postgres.start()
        database_rig.reconnect()
        database_rig.accept()
        database_rig.wait_until_marked(2)
    assert events(logs) == [Event.STORE_LOST, Event.STORE_RESTORED]


def events(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was told, but for the batches."""
    return [entry["event"] for entry in logs if entry["event"] != Event.JOBS_PUBLISHED]
