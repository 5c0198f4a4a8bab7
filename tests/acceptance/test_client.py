"""The Python client and its command line, against the real service on each of the brokers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from client import Client, Conflict, InvalidRequest, JobFailed, JobRevoked, NotFound, WaitTimeout
from core.acceptance import new_task_id
from tests.acceptance.service import Diary, Service
from tests.stack import ROOT

#: CLIENT_INPUTS=10000 ./dev test tests/acceptance/test_client.py -k map is the long form.
INPUTS: Final = int(os.environ.get("CLIENT_INPUTS", "2000"))
BATCH_SIZE: Final = INPUTS // 5
LIMIT_S: Final = 60.0
#: Values that a float, a sloppy parser or a test for truth would change.
EXACT: Final[tuple[object, ...]] = (
    *(int("7" * 1000), -int("7" * 1000), 0.1, 1e300, 10**16, 0),
    *("", False, [], {}, None, "straße \U0001f600"),
)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """The client."""
    with Client(service.client.url) as client:
        yield client


def run(url: str, *words: str) -> "tuple[int, str, str]":
    """Run Python on a program of the client; give exit code, output, errors."""
    outcome = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=LIMIT_S,
        env={**os.environ, "TASK_SERVICE_URL": url},
    )
    return outcome.returncode, outcome.stdout, outcome.stderr


def test_map_is_in_order_through_a_killed_api_and_a_restarted_broker(client: Client, service: Service) -> None:
    results = client.map("add", ({"x": number, "y": 1} for number in range(INPUTS)), batch_size=BATCH_SIZE)
    before = service.stack.api.pid
    seen = []
    for result in results:
        seen.append(result)
        if len(seen) == INPUTS // 4:
            service.stack.api.kill()
        if len(seen) == INPUTS // 2:
            service.broker.restart()
    assert seen == list(range(1, INPUTS + 1))
    assert service.stack.api.pid not in (None, before)


def test_map_makes_each_job_once(client: Client, service: Service) -> None:
    began = datetime.now(UTC)
    assert list(client.map("upper_case", [{"text": "a"}] * 30, batch_size=7)) == ["A"] * 30
    assert len(list(client.jobs(task="upper_case", created_after=began))) == 30


@pytest.mark.parametrize("way", ["submit", "map"])
def test_value_is_the_same_after_the_way_there_and_back(client: Client, way: str) -> None:
    if way == "submit":
        results = [client.submit("shop.returns", value=value).result() for value in (*EXACT, -0.0)]
    else:
        results = list(client.map("shop.returns", [{"value": value} for value in (*EXACT, -0.0)]))
    assert [repr(result) for result in results] == [repr(value) for value in (*EXACT, -0.0)]


def test_failed_job_ends_the_wait_with_its_reason(client: Client) -> None:
    job = client.submit("always_fails", mood="bad")
    with pytest.raises(JobFailed) as caught:
        job.result(timeout_s=LIMIT_S)
    assert (caught.value.type, caught.value.message) == ("ValueError", "in a bad mood")
    assert caught.value.status.attempts == 6


def test_failed_job_is_yielded_in_its_place_if_asked_for(client: Client) -> None:
    inputs = [{"mood": mood} for mood in ("bad", "worse")]
    errors = list(client.map("always_fails", inputs, return_errors=True))
    assert [error.message for error in errors] == ["in a bad mood", "in a worse mood"]


def test_retry_of_a_failed_job_is_a_new_job(client: Client) -> None:
    job = client.submit("always_fails", mood="bad")
    job.wait(timeout_s=LIMIT_S)
    again = job.retry()
    assert again.task_id != job.task_id
    assert again.wait(timeout_s=LIMIT_S).status == "FAILURE"
    with pytest.raises(Conflict):
        client.submit("add", x=1, y=1, delay_s=30).retry()


def test_cancel_revokes_a_waiting_job_at_once(client: Client) -> None:
    job = client.submit("add", x=1, y=1, delay_s=60)
    assert job.cancel().status == "REVOKED"
    assert job.cancel().status == "REVOKED"
    with pytest.raises(JobRevoked):
        job.result()


def test_cancel_revokes_a_running_job(client: Client, diary: Diary) -> None:
    job = client.submit("shop.holds", diary=str(diary))
    diary.wait_for(1)
    job.cancel()
    assert job.wait(timeout_s=15).status == "REVOKED"


def test_cancel_of_a_finished_job_is_a_conflict(client: Client) -> None:
    job = client.submit("add", x=1, y=1)
    job.result()
    with pytest.raises(Conflict):
        job.cancel()


def test_job_that_expires_is_revoked(client: Client, service: Service) -> None:
    with pytest.raises(JobRevoked):
        client.submit("add", x=1, y=1, delay_s=0, expires_s=0.001).result(timeout_s=20)


def test_wait_that_is_too_short_says_how_far_the_job_is(client: Client, diary: Diary) -> None:
    job = client.submit("shop.holds", diary=str(diary))
    diary.wait_for(1)
    with pytest.raises(WaitTimeout) as caught:
        job.wait(timeout_s=0.3)
    assert caught.value.status.status == "STARTED"
    diary.let_go()
    assert job.result() == "let go"


def test_progress_is_watched(client: Client, diary: Diary) -> None:
    job = client.submit("shop.counts", diary=str(diary), steps=4)
    seen = []
    for status in client.watch(job.task_id, timeout_s=LIMIT_S):
        seen.append(status)
        if status.progress:
            diary.let_go()
    assert any(status.progress for status in seen)
    assert seen[-1].value() == 4


def test_same_key_gives_the_same_job(client: Client) -> None:
    key = str(new_task_id())
    first = client.submit("add", x=1, y=2, idempotency_key=key)
    again = client.submit("add", x=1, y=2, idempotency_key=key)
    assert (again.task_id, first.is_replayed, again.is_replayed) == (first.task_id, False, True)
    with pytest.raises(InvalidRequest) as caught:
        client.submit("add", x=1, y=3, idempotency_key=key)
    assert caught.value.code == "idempotency_mismatch"


def test_options_are_taken(client: Client) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=0.5)
    assert client.submit("add", x=1, y=2, eta=eta, priority=9, expires_s=60).result() == 3
    eta += timedelta(hours=1)
    job = client.submit("add", x=1, y=2, eta=eta)
    assert job.status().due_at == eta
    job.cancel()


@pytest.mark.parametrize(("task", "args", "kind"), [("ad", {}, NotFound), ("add", {"x": "1"}, InvalidRequest)])
def test_wrong_request_is_refused(client: Client, task: str, args: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        client.submit(task, args)
    with pytest.raises((InvalidRequest, NotFound)):
        client.submit_many(task, [args])


def test_tasks_come_with_their_schemas(client: Client) -> None:
    (add,) = (task for task in client.tasks() if task.route == "add")
    assert (add.name, add.doc, add.max_attempts) == ("tasks.add", "Add two integers.", 6)
    assert add.schema["properties"]["x"]["type"] == "integer"


def test_jobs_are_listed_newest_first_and_page_by_page(client: Client) -> None:
    began = datetime.now(UTC)
    jobs = client.submit_many("add", [{"x": number, "y": 0} for number in range(250)])
    for job in jobs:
        job.wait(timeout_s=LIMIT_S)
    found = list(client.jobs(task="tasks.add", status="SUCCESS", created_after=began))
    assert sorted(status.task_id for status in found) == sorted(job.task_id for job in jobs)
    assert [status.created_at for status in found] == sorted((status.created_at for status in found), reverse=True)
    assert list(client.jobs(created_before=began - timedelta(days=1))) == []


def test_demo_finds_every_result_right(service: Service) -> None:
    code, output, errors = run(service.client.url, "client/client.py")
    assert (code, errors) == (0, "")
    assert "150 of 150 results are right" in output


def test_command_line_runs_a_job_and_shows_it(service: Service) -> None:
    url = service.client.url
    assert run(url, "-m", "client", "submit", "add", "--x", "2", "--y", "-3", "--wait") == (0, "-1\n", "")
    code, output, _ = run(url, "-m", "client", "list", "--task", "add", "--status", "success", "--limit", "1", "--json")
    (job,) = json.loads(output)
    assert (code, job["result"]) == (0, -1)
    code, output, _ = run(url, "-m", "client", "status", job["task_id"])
    assert code == 0
    assert output.startswith(f"{job['task_id']}  tasks.add  SUCCESS\n  result      -1\n")


def test_example_of_the_readme_prints_what_it_says(service: Service) -> None:
    example = (ROOT / "client/README.md").read_text().partition("```python\n")[2].partition("```")[0]
    program = example.replace("task_service_client", "client").replace("http://127.0.0.1:8000", service.client.url)
    said = [line.rpartition("# ")[2] for line in example.splitlines() if "# " in line]
    assert run(service.client.url, "-c", program) == (0, "\n".join([*said, ""]), "")
