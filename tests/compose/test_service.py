"""What `docker compose up` starts is the service, and it keeps its promise whatever happens to a container."""

import time
from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.compose.project import SERVICES, Container, Project
from tests.engines import wait_until

JOBS: Final = 40
NAP_S: Final = 0.5
#: How long anything may take here to be well again. The figures say how long it took.
LIMIT_S: Final = 180.0

pytestmark = pytest.mark.timeout(600)


def test_posted_job_runs(project: Project) -> None:
    assert project.client.finished(project.client.submit("add", x=2, y=3), LIMIT_S)["result"] == 5


def test_forty_jobs_reach_all_four_workers(project: Project, figures: list[str]) -> None:
    began = time.monotonic()
    jobs = _submit_naps(project)
    workers = {attempt["worker"].split(":")[0] for job in jobs for attempt in _finished(project, job)["attempt_log"]}
    figures.append(f"{JOBS} naps of {NAP_S} s on {len(workers)} workers: {time.monotonic() - began:.1f} s")
    assert workers == {container.id[:12] for container in project.containers("worker")}


def test_job_of_a_killed_worker_runs_again_on_another(project: Project, figures: list[str]) -> None:
    job = project.client.submit("naps.take", seconds=3.0)
    wait_until(lambda: project.client.status(job)["status"] == "STARTED", LIMIT_S, "the job runs")
    victim = _worker_of(project, project.client.job(job)["attempt_log"][-1]["worker"])
    began = time.monotonic()
    project.docker("kill", victim.id)
    finished = _finished(project, job)
    figures.append(f"worker killed: the job of 3 s has run again after {time.monotonic() - began:.1f} s")
    assert [attempt["outcome"] for attempt in finished["attempt_log"]] == ["LOST", "SUCCESS"]
    assert not finished["attempt_log"][1]["worker"].startswith(victim.id[:12])
    project.docker("start", victim.id)
    project.wait_until_healthy()


def test_scheduler_that_dies_is_started_again(project: Project, figures: list[str]) -> None:
    (scheduler,) = project.containers("scheduler")
    began = time.monotonic()
    program = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/stat") as file:
        if file.read().rpartition(")")[2].split()[1] == "1":  # the parent
            os.kill(int(pid), 9)
"""
    project.docker("exec", "--detach", scheduler.id, "python", "-c", program)
    wait_until(lambda: project.containers("scheduler")[0].details["RestartCount"] == 1, LIMIT_S, "it is started again")
    assert project.client.finished(project.client.submit("add", x=2, y=3), LIMIT_S)["result"] == 5
    figures.append(f"scheduler killed: a new job has run after {time.monotonic() - began:.1f} s")
    project.wait_until_healthy()


def test_restart_of_the_broker_loses_nothing(project: Project, figures: list[str]) -> None:
    jobs = _submit_naps(project)
    _finished(project, jobs[0])
    began = time.monotonic()
    project.compose("restart", "rabbitmq")
    _assert_all_rested(project, jobs)
    figures.append(f"broker restarted: all {JOBS} naps have ended after {time.monotonic() - began:.1f} s")


def test_loss_of_all_the_broker_had_loses_nothing(project: Project, figures: list[str]) -> None:
    jobs = _submit_naps(project)
    _finished(project, jobs[0])
    began = time.monotonic()
    project.compose("rm", "--stop", "--force", "rabbitmq")
    project.docker("volume", "rm", f"{project.name}_rabbitmq-data")
    project.compose("up", "--detach", "rabbitmq")
    _assert_all_rested(project, jobs)
    figures.append(f"broker wiped: all {JOBS} naps have ended after {time.monotonic() - began:.1f} s")


def test_down_and_up_again_loses_nothing(project: Project, figures: list[str]) -> None:
    before = _finished(project, project.client.submit("upper_case", text="straße"))
    delayed = project.client.submit("add", {"delay_s": 10}, x=2, y=3)
    jobs = _submit_naps(project)
    _finished(project, jobs[0])
    began = time.monotonic()
    project.compose("stop")
    exit_codes = {found.service: found.details["State"]["ExitCode"] for found in project.containers(*SERVICES)}
    assert exit_codes == dict.fromkeys(SERVICES, 0)  # each stops when it is asked to, and none was killed
    project.compose("down")
    down = time.monotonic()
    project.compose("up", "--detach")
    project.wait_until_healthy()
    figures.append(f"down: {down - began:.1f} s; up with its volumes: healthy after {time.monotonic() - down:.1f} s")
    _assert_all_rested(project, jobs)
    assert _finished(project, delayed)["result"] == 5
    assert project.client.job(before["task_id"]) == before


def _submit_naps(project: Project) -> Sequence[str]:
    return [project.client.submit("naps.take", seconds=NAP_S) for _ in range(JOBS)]


def _finished(project: Project, job: str) -> dict[str, Any]:
    return project.client.finished(job, LIMIT_S)


def _assert_all_rested(project: Project, jobs: Sequence[str]) -> None:
    outcomes = {job: _finished(project, job) for job in jobs}
    assert {(outcome["status"], outcome["result"]) for outcome in outcomes.values()} == {("SUCCESS", "rested")}


def _worker_of(project: Project, instance: str) -> Container:
    """Return the container in which an instance, as attempt logs name it, runs."""
    return next(container for container in project.containers("worker") if instance.startswith(container.id[:12]))
