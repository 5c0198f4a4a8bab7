"""What the service promises when attempts vanish: kill -9 of workers and of their pool processes."""

import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.acceptance.service import Diary, Service, wait_for_status
from tests.supervised import SupervisedPart

#: A job whose worker was killed runs again within 8 s; and what a busy machine may add.
AGAIN_LIMIT_S: Final = 8.0 + 4.0


@pytest.mark.parametrize("kill", [SupervisedPart.kill, SupervisedPart.kill_children], ids=["worker", "pool process"])
def test_job_of_what_was_killed_runs_again_within_8_s_and_succeeds_once(
    service: Service, diary: Diary, kill: Callable[[SupervisedPart], None]
) -> None:
    task_id = service.client.submit("shop.holds", diary=str(diary))
    diary.wait_for(1)
    (running,) = service.client.job(task_id)["attempt_log"]
    killed_at = time.monotonic()
    kill(service.stack.worker_of(running["worker"]))
    diary.wait_for(2, AGAIN_LIMIT_S)
    assert time.monotonic() - killed_at < AGAIN_LIMIT_S
    wait_for_status(service.client, task_id, lambda status: status["status"] == "STARTED")
    diary.let_go()
    job = service.client.finished(task_id)
    assert (job["status"], job["result"], job["error"], job["attempts"]) == ("SUCCESS", "let go", None, 2)
    lost, succeeded = job["attempt_log"]
    assert (lost["number"], lost["outcome"], lost["error"]["type"]) == (1, "LOST", "WorkerLost")
    assert (succeeded["number"], succeeded["outcome"], succeeded["error"]) == (2, "SUCCESS", None)
    assert lost["worker"] == running["worker"]
    assert diary.entries == 2


def test_task_that_kills_its_process_each_time_fails_after_five_losses(service: Service) -> None:
    task_id = service.client.submit("shop.kills_its_process")
    _check_lost_for_good(service.client.finished(task_id, limit_s=30.0), losses=5)


def test_task_that_kills_its_worker_each_time_fails_after_its_losses(service: Service) -> None:
    task_id = service.client.submit("shop.kills_its_worker")
    _check_lost_for_good(service.client.finished(task_id, limit_s=30.0), losses=2)


def _check_lost_for_good(job: dict[str, Any], losses: int) -> None:
    assert (job["status"], job["result"], job["attempts"]) == ("FAILURE", None, losses)
    assert job["error"]["type"] == "WorkerLost"
    assert [attempt["outcome"] for attempt in job["attempt_log"]] == ["LOST"] * losses
