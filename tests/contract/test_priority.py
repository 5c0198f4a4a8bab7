"""Priority with a real scheduler and real workers, on every broker: who is urgent overtakes who waits."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.queues import DEFAULT_QUEUE
from core.settings import Settings
from tests.contract.worker_rig import ROOT, WorkerRig, wait_for

WAITING = 5000
NAP_S = 0.01
#: More than an urgent job takes on an idle system.
MARGIN_S = 5.0
FIRST = "SELECT count(*) FROM jobs WHERE status IS NOT NULL"
START = """
SELECT extract(epoch FROM coalesce(j.started_at, l.started_at) - j.created_at)::float8
FROM jobs j LEFT JOIN live_jobs l USING (task_id) WHERE task_id = %s
"""


@pytest.fixture
def rig(settings: Settings) -> Iterator[WorkerRig]:
    rig = WorkerRig(settings)
    yield rig
    rig.close()


@contextmanager
def running_scheduler(settings: Settings) -> Iterator[None]:
    urls = {"DATABASE_URL": settings.database_url, "BROKER_URL": settings.broker_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler"], cwd=ROOT, env={**os.environ, **urls}, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def accept(rig: WorkerRig, count: int, priority: int) -> list[UUID]:
    args = json.dumps({"seconds": NAP_S})
    jobs = [NewJob(new_task_id(), "ill.naps", DEFAULT_QUEUE, args, priority=priority) for _ in range(count)]
    rig.connection.execute(ACCEPT, accept_parameters(jobs))
    return [job.task_id for job in jobs]


def start_s(rig: WorkerRig, task_id: UUID) -> float | None:
    """Return the seconds from the job's acceptance to its start, by the database's clock."""
    row = rig.connection.execute(START, [task_id]).fetchone()
    assert row is not None
    return None if row[0] is None else float(row[0])


def time_of_an_urgent_job(rig: WorkerRig) -> float:
    [task_id] = accept(rig, 1, priority=9)
    wait_for(lambda: start_s(rig, task_id) is not None, "the urgent job")
    started_s = start_s(rig, task_id)
    assert started_s is not None
    return started_s


def count(rig: WorkerRig, query: str) -> int:
    row = rig.connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_urgent_job_starts_soon_though_5000_wait(rig: WorkerRig, settings: Settings) -> None:
    for _ in range(2):
        rig.start_worker(WORKER_SLOTS="2", LOG_LEVEL="WARNING")  # nobody reads its log meanwhile
    with running_scheduler(settings):
        idle_s = time_of_an_urgent_job(rig)
        wait_for(lambda: count(rig, "SELECT count(*) FROM live_jobs") == 0, "an idle system")
        accept(rig, WAITING, priority=0)
        busy_s = [time_of_an_urgent_job(rig)]
        finished = count(rig, FIRST)
        wait_for(lambda: count(rig, FIRST) > finished + 200, "the system at its pace")
        busy_s += [time_of_an_urgent_job(rig) for _ in range(3)]
        assert count(rig, "SELECT count(*) FROM live_jobs") > 2000, "not enough jobs to overtake"
    assert max(busy_s) < idle_s + MARGIN_S
