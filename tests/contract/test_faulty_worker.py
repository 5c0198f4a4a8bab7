"""A worker that a fault of its own has struck looks ill, lets others have what it does not run, and ends."""

import os
import time
from pathlib import Path
from uuid import UUID

import pytest

from core.queries import load_query
from tests.contract.damaged_messages import lines_about
from tests.contract.worker_rig import TASKS, WorkerRig, wait_for
from worker.hung_loop import GIVE_UP_AFTER_S, UNWELL_AFTER_S

MODULES = f"tasks,{TASKS},tests.contract.faulty_worker"
#: What a busy machine may add.
GRACE_S = 30.0
END_LIMIT_S = 60.0

#: What the api allows the last beat of one that is well.
BEAT_AGE_S = 5.0
BEATS = load_query("api", "beats")


@pytest.mark.timeout(180)
def test_worker_whose_main_loop_hangs(rig: WorkerRig, mark: Path, tmp_path: Path) -> None:
    hang_at, heartbeat = tmp_path / "hang", tmp_path / "heartbeat"
    worker = rig.start_worker(TASK_MODULES=MODULES, HANG_AT=str(hang_at), HEARTBEAT_FILE=str(heartbeat))
    running = rig.submit("ill.reports_progress", mark=str(mark))  # until the mark is gone
    wait_for(mark.exists, "the task to run")
    waiting = rig.submit_marked(3)
    wait_for(lambda: are_due(rig, waiting), "what waits behind a long attempt to be given back, once")
    rig.mark_published(waiting)
    wait_for(lambda: heartbeat.exists() and is_well(rig), "the worker to be well")

    hang_at.touch()
    hung_at = time.monotonic()
    wait_for(lambda: not is_well(rig), "the worker not to count as alive", UNWELL_AFTER_S + BEAT_AGE_S + GRACE_S)
    assert time.time() - heartbeat.stat().st_mtime > BEAT_AGE_S - 1.0
    wait_for(lambda: are_due(rig, waiting), "what waits to be given back", GIVE_UP_AFTER_S + GRACE_S)
    assert time.monotonic() - hung_at > GIVE_UP_AFTER_S - 2.0
    beat = beats(rig)
    wait_for(lambda: beats(rig) > beat + 1, "the heartbeat to go on")
    assert rig.row(running).status == "STARTED"
    assert worker.poll() is None

    mark.unlink()
    assert rig.finished(running).outcomes == ["SUCCESS"]
    _, logged = worker.communicate(timeout=END_LIMIT_S)
    assert worker.returncode == os.EX_SOFTWARE
    assert {rig.row(task_id).status for task_id in waiting} == {"PENDING"}
    assert [len(list(lines_about(event, logged))) for event in ("worker.hung", "worker.failed")] == [1, 1]
    assert "asynloop" in logged  # where the main thread stands


def test_idle_worker_whose_main_loop_hangs_ends(valkey_rig: WorkerRig, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    worker = valkey_rig.start_worker(TASK_MODULES=MODULES, HANG_AT=str(tmp_path / "hang"))
    assert worker.wait(END_LIMIT_S) == os.EX_SOFTWARE


def test_defect_of_the_heartbeat_ends_the_worker(valkey_rig: WorkerRig, mark: Path, tmp_path: Path) -> None:
    worker = valkey_rig.start_worker(TASK_MODULES=MODULES, BREAK_AT=str(tmp_path / "break"))
    running = valkey_rig.submit("ill.reports_progress", mark=str(mark))
    wait_for(mark.exists, "the task to run")
    (tmp_path / "break").touch()
    _, logged = worker.communicate(timeout=END_LIMIT_S)
    assert worker.returncode == os.EX_SOFTWARE
    assert "a defect of the heartbeat" in logged
    assert valkey_rig.row(running).outcomes == ["HANDED_BACK"]


def are_due(rig: WorkerRig, task_ids: list[UUID]) -> bool:
    """Whether the relay would publish all of these jobs."""
    return all(rig.row(task_id).fields["publish_at"] is not None for task_id in task_ids)


def is_well(rig: WorkerRig) -> bool:
    """Whether the api counts the worker as alive."""
    return ("worker", 1) in rig.connection.execute(BEATS).fetchall()


def beats(rig: WorkerRig) -> int:
    """Return how often the worker has beaten."""
    (beat,) = rig.connection.execute("SELECT beat FROM instances WHERE part = 'worker'").fetchone() or (0,)
    return int(beat)
