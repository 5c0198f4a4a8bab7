"""What must hold when nothing is broken: the measure for all other cases."""

import time
from typing import Final

import pytest

from tests.faults.faulty_stack import FaultyStack, judge
from tests.faults.load import submit_in_batches
from tests.faults.report import Report
from tests.faults.sizes import size

JOBS: Final = size(1_000, 100_000)
SHORT_JOBS: Final = size(200, 1_000)
#: Longer than the short jobs take.
LONG_JOB_S: Final = size(9, 120)


@pytest.mark.timeout(60 + JOBS // 50)
def test_no_job_is_lost_or_run_twice(faulty: FaultyStack, report: Report) -> None:
    faulty.begin()
    accepted = submit_in_batches(faulty.stack.client, "undisturbed", JOBS)
    verdict = judge(faulty.checker, accepted, time.time(), extra_executions_bound=0)
    report.add("none", faulty.broker.engine.name, verdict)
    assert verdict.accepted == JOBS
    assert verdict.is_good, verdict


@pytest.mark.timeout(120 + 2 * LONG_JOB_S)
def test_short_jobs_do_not_wait_for_a_long_one(faulty: FaultyStack, report: Report) -> None:
    alone_s = _longest_wait_s(faulty)
    faulty.begin()
    client = faulty.stack.client
    long_job = client.submit("effects.long", number=1, seconds=LONG_JOB_S)
    faulty.checker.wait_claimed(1)
    beside_s = _longest_wait_s(faulty)
    assert client.status(long_job)["status"] == "STARTED"
    report.add(
        f"one job of {LONG_JOB_S} s and {SHORT_JOBS:,} short ones",
        faulty.broker.engine.name,
        longest_wait_alone=f"{alone_s:.1f} s",
        longest_wait_beside_the_long_job=f"{beside_s:.1f} s",
    )
    assert beside_s < 2 * alone_s
    assert client.finished(long_job, LONG_JOB_S + 10)["result"] == 1


def _longest_wait_s(faulty: FaultyStack) -> float:
    """Return the longest time that one of many short jobs waits for its start, after all of them have finished.

    They come all at once: while they trickle in, they wait less, by an unknown time.
    """
    before = faulty.checker.finished()
    jobs = [{"task": "effects.steady", "args": {"number": number}} for number in range(SHORT_JOBS)]
    assert faulty.stack.client.post("/jobs/batch", {"jobs": jobs}).status_code == 202
    faulty.checker.wait_finished(before + SHORT_JOBS, limit_s=60 + SHORT_JOBS / 10)
    return faulty.checker.longest_wait_s("effects.steady")
