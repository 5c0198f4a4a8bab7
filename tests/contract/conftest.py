"""The scheduler's duties, and a worker, on fresh engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.contract.scheduler_rig import SchedulerRig
from tests.contract.worker_rig import WorkerRig


@pytest.fixture
def rig(settings: Settings) -> Iterator[WorkerRig]:
    rig = WorkerRig(settings)
    yield rig
    rig.close()


@pytest.fixture
def valkey_rig(database_url: str, valkey_url: str) -> Iterator[WorkerRig]:
    """For what does not depend on the broker: one is enough."""
    rig = WorkerRig(Settings(database_url=database_url, broker_url=valkey_url))
    yield rig
    rig.close()


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that a task touches."""
    return tmp_path / "mark"


@pytest.fixture
def scheduler_rig(settings: Settings) -> Iterator[SchedulerRig]:
    rig = SchedulerRig(settings)
    yield rig
    rig.close()


@pytest.fixture
def database_rig(database_url: str, valkey_url: str) -> Iterator[SchedulerRig]:
    """For what does not depend on the broker: one is enough."""
    rig = SchedulerRig(Settings(database_url=database_url, broker_url=valkey_url))
    yield rig
    rig.close()
