"""POST /{task} on a real database."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.api_rig import ADD, Hand, RunningApi, wait_until
from tests.integration.conftest import StartApi


def due_in_s(hand: Hand, task_id: str) -> float:
    """Return the seconds from the acceptance to when the job is due."""
    query = "SELECT extract(epoch FROM due_at - created_at)::float8 FROM jobs WHERE task_id = %s"
    row = hand.connection.execute(query, [UUID(task_id)]).fetchone()
    assert row is not None
    return float(row[0])


def test_accepted_job_is_pending_and_has_a_location(api: RunningApi) -> None:
    response = api.post("/add", ADD)
    assert response.status_code == 202
    body = response.json()
    assert body == {"task_id": body["task_id"], "status": "PENDING"}
    assert response.headers["location"] == f"/status/{body['task_id']}"
    assert "idempotency-replayed" not in response.headers


def test_accepted_job_is_in_both_tables(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    row = hand.connection.execute(
        "SELECT task, owner, jobs.queue, args, max_attempts, l.status, l.publish_at <= now() FROM jobs JOIN live_jobs l"
        " USING (task_id) WHERE task_id = %s",
        [UUID(task_id)],
    ).fetchone()
    assert row is not None
    assert row[:3] == ("tasks.add", "local", "default")
    assert row[4:] == (6, "PENDING", True)


def test_arguments_are_stored_to_the_letter(api: RunningApi, hand: Hand) -> None:
    body = b'{ "lines": [],\n"note": {"b": 1e16, "a": -0.0, "n": %b} }' % (b"9" * 1000)
    task_id = api.post_bytes("/order", body).json()["task_id"]
    row = hand.connection.execute("SELECT args FROM jobs WHERE task_id = %s", [UUID(task_id)]).fetchone()
    assert row == (body.decode(),)


def test_concurrent_requests_share_statements(api: RunningApi, hand: Hand) -> None:
    transactions = "SELECT count(DISTINCT xmin::text) FROM jobs"
    threads = [
        threading.Thread(target=lambda: [api.send_raw(raw_post(b'{"x":1,"y":2}')) for _ in range(5)]) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hand.count("SELECT count(*) FROM jobs") == 100
    assert hand.count(transactions) < 100


def raw_post(body: bytes) -> bytes:
    """Return a complete request."""
    head = f"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_delay_s_moves_the_due_time(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit("/add?delay_s=90.5")
    assert due_in_s(hand, task_id) == pytest.approx(90.5)


def test_eta_is_the_due_time(api: RunningApi) -> None:
    eta = datetime.now(UTC).replace(microsecond=123000) + timedelta(hours=1)
    task_id = api.submit("/add?eta=" + eta.astimezone().isoformat().replace("+", "%2B"))
    due_at = api.get(f"/status/{task_id}").json()["due_at"]
    assert datetime.fromisoformat(due_at) == eta


def test_eta_in_the_past_is_due_now(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit("/add?eta=2001-01-01T00:00:00Z")
    assert due_in_s(hand, task_id) == pytest.approx(0, abs=0.5)


def test_task_without_parameters_takes_no_body(api: RunningApi) -> None:
    assert api.session.post(api.url + "/ping", timeout=5).status_code == 202


def test_backlog_limit_refuses_with_retry_after(start_api: StartApi, hand: Hand) -> None:
    api = start_api(backlog_limit=3)
    accepted: list[str] = []

    def submit() -> bool:
        """One that is admitted while a count runs may be counted twice, until the next count."""
        answer = api.post("/add", ADD)
        accepted.extend([answer.json()["task_id"]] if answer.status_code == 202 else [])
        return len(accepted) == 3

    wait_until(submit, "as many as the limit are accepted")
    refused = api.post("/add", ADD)
    assert (refused.status_code, refused.json()["code"]) == (503, "backlog_full")
    assert int(refused.headers["retry-after"]) > 0
    assert hand.count("SELECT count(*) FROM jobs") == 3
    hand.run(accepted[0])
    wait_until(lambda: api.post("/add", ADD).status_code == 202, "there is room again")


def test_backlog_counts_what_other_replicas_accepted(start_api: StartApi) -> None:
    first, second = start_api(backlog_limit=2), start_api(backlog_limit=2)
    first.submit()
    first.submit()
    second.post("/add", ADD)
    second.post("/add", ADD)
    assert second.post("/add", ADD).status_code == 503
