"""POST /jobs, and what it has in common with POST /{task}: priority, expiry, Prefer: wait."""

import threading
import time
from typing import Any
from uuid import UUID

import pytest

from api.schemas import JobStatus
from tests.api_rig import ADD, Hand, RunningApi, wait_until
from tests.integration.conftest import StartApi

KEY = {"Idempotency-Key": "order-1"}


def live(hand: Hand, task_id: str, columns: str) -> tuple[Any, ...]:
    query = f"SELECT {columns} FROM jobs JOIN live_jobs l USING (task_id) WHERE task_id = %s"
    row = hand.connection.execute(query.encode(), [UUID(task_id)]).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("name", ["add", "tasks.add"])
def test_job_is_accepted_by_either_name_of_its_task(api: RunningApi, hand: Hand, name: str) -> None:
    response = api.post("/jobs", {"task": name, "args": ADD})
    assert response.status_code == 202
    task_id = response.json()["task_id"]
    assert response.json() == {"task_id": task_id, "status": "PENDING"}
    assert response.headers["location"] == f"/status/{task_id}"
    assert live(hand, task_id, "task, jobs.queue, max_attempts, l.priority") == ("tasks.add", "default", 6, 0)


def test_arguments_are_stored_to_the_letter(api: RunningApi, hand: Hand) -> None:
    args = '{ "lines": [],\n"note": {"b": 1e16, "a": -0.0, "x": 1.10, "n": %s, "é": "\\u00e9"} }' % ("9" * 1000)
    body = f'{{"args"\t:{args}, "task": "order"}}'
    response = api.post_bytes("/jobs", body.encode())
    assert response.status_code == 202, response.text
    assert live(hand, response.json()["task_id"], "args") == (args,)


def test_task_without_parameters_needs_no_args(api: RunningApi, hand: Hand) -> None:
    assert live(hand, api.submit("/jobs", {"task": "ping"}), "args") == ("{}",)


def test_options_stand_in_the_body(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit("/jobs", {"task": "add", "args": ADD, "delay_s": 60, "priority": 7, "expires_s": 90.5})
    columns = "l.priority, jobs.priority, extract(epoch FROM due_at - created_at)::int, expires_at - created_at"
    assert [str(value) for value in live(hand, task_id, columns)] == ["7", "7", "60", "0:01:30.500000"]


def test_null_options_are_no_options(api: RunningApi) -> None:
    options = dict.fromkeys(("delay_s", "eta", "priority", "expires_s", "idempotency_key"))
    api.submit("/jobs", {"task": "add", "args": ADD, **options})


@pytest.mark.parametrize("query", ["priority=9", "priority=9&expires_s=60"])
def test_task_route_takes_priority_and_expiry(api: RunningApi, hand: Hand, query: str) -> None:
    task_id = api.submit(f"/add?{query}")
    assert live(hand, task_id, "l.priority, jobs.priority, expires_at IS NOT NULL") == (9, 9, "expires" in query)


def test_key_means_the_same_wherever_it_stands(api: RunningApi) -> None:
    first = api.submit(headers=KEY)
    for response in (
        api.post("/jobs", {"task": "add", "args": ADD}, headers=KEY),
        api.post("/jobs", {"task": "tasks.add", "args": ADD, "idempotency_key": "order-1"}),
        api.post("/jobs", {"task": "add", "args": ADD, "idempotency_key": "order-1"}, headers=KEY),
    ):
        assert (response.status_code, response.json()["task_id"]) == (202, first)
        assert response.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("path", ["/add?priority=1", "/add?expires_s=5", "/add?priority=0"])
def test_other_options_with_the_same_key_are_a_mismatch(api: RunningApi, path: str) -> None:
    api.submit(headers=KEY)
    assert api.post(path, ADD, headers=KEY).json()["code"] == "idempotency_mismatch"


def test_mismatch_names_the_place_of_the_key(api: RunningApi) -> None:
    api.submit(headers=KEY)
    other = {"task": "add", "args": {"x": 0, "y": 0}}
    in_body = api.post("/jobs", {**other, "idempotency_key": "order-1"})
    in_header = api.post("/jobs", other, headers=KEY)
    assert [answer.json()["errors"][0]["loc"] for answer in (in_body, in_header)] == [
        ["body", "idempotency_key"],
        ["header", "Idempotency-Key"],
    ]


def test_preferred_wait_ends_with_the_finish(api: RunningApi, hand: Hand) -> None:
    finisher = threading.Thread(target=lambda: hand.run(pending_id(hand)))
    finisher.start()
    response = api.post("/add", ADD, headers={"Prefer": "respond-async, wait=10"})
    finisher.join()
    status = JobStatus.model_validate_json(response.content)
    assert (response.status_code, status.status, status.result) == (200, "SUCCESS", 5)
    assert response.headers["preference-applied"] == "wait=10"
    assert response.headers["location"] == response.headers["content-location"] == f"/status/{status.task_id}"
    assert response.headers["etag"] == api.get(f"/status/{status.task_id}").headers["etag"]
    assert response.elapsed.total_seconds() < 5


def pending_id(hand: Hand) -> str:
    query = "SELECT task_id FROM live_jobs WHERE status = 'PENDING'"
    wait_until(lambda: hand.connection.execute(query).fetchone(), "a job is there")
    row = hand.connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def test_preferred_wait_ends_after_n_seconds(start_api: StartApi) -> None:
    api = start_api(wait_limit_s=0.3)
    began = time.monotonic()
    response = api.post("/jobs", {"task": "add", "args": ADD}, headers={"Prefer": "wait=20"})
    assert response.status_code == 202
    assert response.json()["status"] == "PENDING"
    assert response.headers["preference-applied"] == "wait=0.3"
    assert 0.3 <= time.monotonic() - began < 5


@pytest.mark.parametrize("preference", ["wait=x", "wait=0", "return=minimal", '"'])
def test_other_preferences_are_ignored(api: RunningApi, preference: str) -> None:
    response = api.post("/add", ADD, headers={"Prefer": preference})
    assert response.status_code == 202
    assert "preference-applied" not in response.headers


def test_replay_of_a_finished_job_with_a_preferred_wait_is_its_status(api: RunningApi, hand: Hand) -> None:
    hand.run(api.submit(headers=KEY))
    response = api.post("/add", ADD, headers={**KEY, "Prefer": "wait=5"})
    assert (response.status_code, response.json()["result"]) == (200, 5)
    assert response.headers["idempotency-replayed"] == "true"
