"""Attempts so short that a worker claims several jobs at once and writes their outcomes together, with a real worker."""

import os
import signal
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

from tests.contract.worker_rig import WorkerRig, wait_for
from tests.processes import children_of
from worker.ledger import MOST_AT_ONCE

#: The worker takes all messages ahead. What it hands back after LATE_S, nobody publishes again here: so it shall hand back
#: nothing because of a stall.
ENVIRONMENT = {"PREFETCH": "200", "LATE_S": "30"}
JOBS = 150
#: Of more jobs than this, the log would fill up the pipe that nobody reads meanwhile.
QUIET = {**ENVIRONMENT, "LOG_LEVEL": "WARNING"}
#: Where it shall hand back: still more than a stall.
LATE_S = 1.0
#: Outcomes before a long attempt are written, and jobs behind it due again, within this time.
LATE_LIMIT_S = LATE_S + 5.0
#: The worker is killed before this one ends.
LONG_S = 30.0


def statuses(rig: WorkerRig, jobs: list[UUID]) -> Counter[str]:
    return Counter(rig.row(task_id).status for task_id in jobs)


def losses(rig: WorkerRig, jobs: list[UUID]) -> int:
    return sum(rig.row(task_id).fields["losses"] or 0 for task_id in jobs)


def test_each_job_runs_once_and_has_its_own_result(rig: WorkerRig) -> None:
    jobs = rig.submit_marked(JOBS)
    worker = rig.start_worker(**ENVIRONMENT)
    rows = [rig.finished(task_id) for task_id in jobs]
    assert [row.result for row in rows] == [str(number + 1) for number in range(JOBS)]
    assert all((row.outcomes, row.fields["attempts"]) == (["SUCCESS"], 1) for row in rows)
    assert rig.stop_worker(worker).count("job.finished") == JOBS
    assert rig.messages_left() == 0


def test_nothing_waits_behind_a_long_attempt(rig: WorkerRig, mark: Path) -> None:
    before = rig.submit_marked(JOBS)
    long = rig.submit("ill.sleeps", seconds=LONG_S, mark=str(mark))
    behind = rig.submit_marked(20)
    rig.start_worker(**{**ENVIRONMENT, "LATE_S": str(LATE_S)})
    wait_for(mark.exists, "the long attempt to begin")
    began_at = time.monotonic()
    wait_for(lambda: statuses(rig, before) == {"SUCCESS": JOBS}, "the outcomes before it", LATE_LIMIT_S)
    wait_for(lambda: statuses(rig, behind) == {"PENDING": 20}, "the jobs behind it to be handed back", LATE_LIMIT_S)
    wait_for(
        lambda: all(rig.row(task_id).fields["publish_at"] is not None for task_id in behind), "them to be due", LATE_LIMIT_S
    )
    assert time.monotonic() - began_at < LONG_S
    assert rig.row(long).status == "STARTED"
    assert losses(rig, behind) == 0


def test_stopping_worker_leaves_no_job_half_done(rig: WorkerRig) -> None:
    jobs = rig.submit_marked(3 * JOBS)
    worker = rig.start_worker(**QUIET)
    rig.finished(jobs[JOBS // 3])
    logged = rig.stop_worker(worker)
    found = statuses(rig, jobs)
    assert set(found) <= {"SUCCESS", "PENDING"}, logged
    assert losses(rig, jobs) == 0
    assert all(rig.row(task_id).outcomes in (["SUCCESS"], ["HANDED_BACK"], []) for task_id in jobs)


def test_process_that_is_killed_costs_what_it_had_not_written(rig: WorkerRig) -> None:
    """What it had claimed and not begun, the next process does, as if nothing had happened."""
    jobs = rig.submit_marked(3 * JOBS)
    worker = rig.start_worker(**QUIET)
    rig.finished(jobs[JOBS // 3])
    os.kill(children_of(worker.pid)[0], signal.SIGKILL)
    wait_for(lambda: all(is_settled(rig, task_id) for task_id in jobs), "all jobs to finish or to be due again")
    rest = [row for task_id in jobs if (row := rig.row(task_id)).status != "SUCCESS"]
    assert len(rest) <= MOST_AT_ONCE
    # The last one may not have been claimed yet: then nothing was lost but its message.
    assert all((row.status, row.outcomes) in (("RETRY", ["LOST"]), ("PENDING", [])) for row in rest)
    assert sum(row.status == "PENDING" for row in rest) <= 1


def is_settled(rig: WorkerRig, task_id: UUID) -> bool:
    """Whether a job has finished, or is the scheduler's to publish again."""
    row = rig.row(task_id)
    return row.status == "SUCCESS" or row.fields["publish_at"] is not None
