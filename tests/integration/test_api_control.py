"""POST /jobs/{task_id}/cancel and /retry."""

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from api.schemas import CancelledSoon, JobDetail, JobStatus
from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.queries import load_query
from tests.api_rig import ADD, Hand, RunningApi, wait_until
from worker.attempt_store import CLAIM

ERROR = '{"type": "ValueError", "message": "no"}'
VERBS = pytest.mark.parametrize("verb", ["cancel", "retry"])
WAITS_FOR_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'api: control jobs' AND wait_event_type = 'Lock'"
)


def accept(hand: Hand, **values: Any) -> str:
    """Accept a job as a task does that calls another."""
    job = NewJob(**{"task_id": new_task_id(), "task": "tasks.add", "queue": "default", "args": json.dumps(ADD), **values})
    hand.connection.execute(ACCEPT, accept_parameters([job]))
    return str(job.task_id)


def failed(hand: Hand, task_id: str) -> str:
    hand.fail(task_id, hand.claim(task_id), ERROR, "trace")
    return task_id


def test_pending_job_is_revoked_at_once_and_for_good(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    answer = api.post(f"/jobs/{task_id}/cancel")
    status = JobStatus.model_validate_json(answer.content)
    assert (answer.status_code, status.status, status.attempts, status.result) == (200, "REVOKED", 0, None)
    assert answer.json()["error"] == {"type": "Revoked", "message": "cancelled before it ran"}
    assert status.finished_at is not None
    assert answer.headers["etag"] == api.get(f"/status/{task_id}").headers["etag"]
    assert hand.count("SELECT count(*) FROM live_jobs") == 0
    listed = hand.connection.execute("SELECT task, status, task_id FROM finished_jobs").fetchall()
    assert listed == [("tasks.add", "REVOKED", UUID(task_id))]


def test_message_of_a_cancelled_job_is_dropped_at_the_claim(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    api.post(f"/jobs/{task_id}/cancel")
    with pytest.raises(AssertionError):
        hand.claim(task_id)
    assert api.get(f"/status/{task_id}").json()["status"] == "REVOKED"


def test_delayed_job_is_revoked(api: RunningApi) -> None:
    task_id = api.submit("/add?delay_s=3600")
    assert api.post(f"/jobs/{task_id}/cancel").json()["status"] == "REVOKED"


def test_job_between_two_attempts_is_revoked_and_keeps_its_history(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    hand.retry(task_id, hand.claim(task_id), ERROR)
    answer = api.post(f"/jobs/{task_id}/cancel").json()
    assert (answer["status"], answer["attempts"]) == ("REVOKED", 1)
    assert answer["error"]["message"] == "cancelled before it ran again"
    assert answer["started_at"] is not None
    [attempt] = api.get(f"/jobs/{task_id}").json()["attempt_log"]
    assert attempt["outcome"] == "FAILURE"


def test_running_job_is_asked_to_stop(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    token = hand.claim(task_id)
    for _ in range(2):
        answer = api.post(f"/jobs/{task_id}/cancel")
        assert answer.status_code == 202
        assert str(CancelledSoon.model_validate_json(answer.content).task_id) == task_id
        assert answer.headers["location"] == f"/status/{task_id}"
    assert hand.count("SELECT count(*) FROM live_jobs WHERE cancel_requested") == 1
    hand.fail(task_id, token, ERROR, "trace")
    assert api.get(f"/status/{task_id}").json()["error"] == {"type": "Revoked", "message": "cancelled while it ran"}


def test_running_job_that_succeeds_all_the_same_is_a_success(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    token = hand.claim(task_id)
    assert api.post(f"/jobs/{task_id}/cancel").status_code == 202
    hand.finish(task_id, token)
    assert api.get(f"/status/{task_id}").json()["status"] == "SUCCESS"


def test_finished_job_cannot_be_cancelled(api: RunningApi, hand: Hand) -> None:
    succeeded, ended, revoked = api.submit(), failed(hand, api.submit()), api.submit()
    hand.run(succeeded)
    api.post(f"/jobs/{revoked}/cancel")
    for task_id in (succeeded, ended, revoked):
        before = api.get(f"/jobs/{task_id}").content
        answer = api.post(f"/jobs/{task_id}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert api.get(f"/jobs/{task_id}").content == before


def in_a_transaction(hand: Hand, act: Callable[[], Any], meanwhile: Callable[[], Any]) -> Any:
    """Do act and commit only when meanwhile, begun after it, waits for its lock; return what meanwhile returns."""
    answers: list[Any] = []
    with hand.connection.transaction():
        act()
        thread = threading.Thread(target=lambda: answers.append(meanwhile()))
        thread.start()
        with psycopg.connect(hand.connection.info.dsn, autocommit=True) as observer:
            wait_until(lambda: observer.execute(WAITS_FOR_LOCK).fetchone() == (1,), "the cancellation waits")
    thread.join()
    return answers[0]


def test_cancellation_that_meets_a_claim_asks_the_new_attempt_to_stop(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    answer = in_a_transaction(hand, lambda: hand.claim(task_id), lambda: api.post(f"/jobs/{task_id}/cancel"))
    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    assert hand.count("SELECT count(*) FROM live_jobs WHERE status = 'STARTED' AND cancel_requested") == 1


def test_cancellation_that_meets_the_outcome_is_a_conflict(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    token = hand.claim(task_id)
    answer = in_a_transaction(hand, lambda: hand.finish(task_id, token), lambda: api.post(f"/jobs/{task_id}/cancel"))
    assert answer.status_code == 409
    assert api.get(f"/status/{task_id}").json()["status"] == "SUCCESS"


def test_cancellation_that_meets_a_retry_revokes(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    token = hand.claim(task_id)
    answer = in_a_transaction(hand, lambda: hand.retry(task_id, token, ERROR), lambda: api.post(f"/jobs/{task_id}/cancel"))
    assert (answer.status_code, answer.json()["status"]) == (200, "REVOKED")


def test_claim_that_meets_a_cancellation_gets_nothing(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    cancel, owner = load_query("api", "cancel"), "local"
    claimed: list[Any] = []
    with psycopg.connect(hand.connection.info.dsn, autocommit=True) as worker, hand.connection.transaction():
        hand.connection.execute(cancel, {"task_id": task_id, "owner": owner})
        values = {"task_id": task_id, "series": 1, "token": uuid4(), "worker": "w"}
        thread = threading.Thread(target=lambda: claimed.append(worker.execute(CLAIM, values).fetchone()))
        thread.start()
        waits = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
        wait_until(
            lambda: hand.connection.execute(waits, [worker.info.backend_pid]).fetchone() == ("Lock",), "the claim waits"
        )
        hand.connection.execute("SELECT 1")
    thread.join()
    assert claimed == [None]


def test_failed_job_is_run_again_as_a_new_one(api: RunningApi, hand: Hand) -> None:
    old_id = failed(hand, api.submit("/add?priority=7"))
    answer = api.post(f"/jobs/{old_id}/retry")
    new_id = answer.json()["task_id"]
    assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
    assert answer.headers["location"] == f"/status/{new_id}"
    job = JobDetail.model_validate_json(api.get(f"/jobs/{new_id}").content)
    assert (str(job.retry_of), job.task, job.args, job.priority, job.attempts) == (old_id, "tasks.add", ADD, 7, 0)
    assert api.get(f"/status/{old_id}").json()["status"] == "FAILURE"
    assert hand.count("SELECT priority FROM live_jobs") == 7


def test_revoked_job_is_run_again(api: RunningApi) -> None:
    task_id = api.submit()
    api.post(f"/jobs/{task_id}/cancel")
    assert api.post(f"/jobs/{task_id}/retry").status_code == 202


def test_repeated_job_is_made_of_what_the_old_one_was_made_of(api: RunningApi, hand: Hand) -> None:
    args = '{"y": 3,\n "x": -0}'
    links = '[{"task": "tasks.ping"}]'
    old_id = failed(hand, accept(hand, args=args, queue="mail", links=links, max_attempts=2, parent_id=uuid4(), delay_s=0.0))
    new_id = api.post(f"/jobs/{old_id}/retry").json()["task_id"]
    columns = "args, queue, links, max_attempts, owner, parent_id"
    row = hand.connection.execute(f"SELECT {columns} FROM jobs WHERE task_id = %s".encode(), [UUID(new_id)]).fetchone()
    assert row == (args, "mail", links, 2, "local", None)


def test_job_that_has_not_failed_is_not_run_again(api: RunningApi, hand: Hand) -> None:
    pending, running, succeeded = api.submit(), api.submit(), api.submit()
    hand.claim(running)
    hand.run(succeeded)
    for task_id, word in ((pending, "not finished"), (running, "not finished"), (succeeded, "SUCCESS")):
        answer = api.post(f"/jobs/{task_id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert word in answer.json()["detail"]
    assert hand.count("SELECT count(*) FROM jobs") == 3


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"task": "gone.by"}, "not served any more"), ({"args": '{"x": 1}'}, "its task has changed")],
)
def test_job_that_could_not_run_is_not_run_again(api: RunningApi, hand: Hand, values: Any, reason: str) -> None:
    old_id = failed(hand, accept(hand, **values))
    answer = api.post(f"/jobs/{old_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert reason in answer.json()["detail"]


def test_key_of_a_retry_makes_one_job(api: RunningApi, hand: Hand) -> None:
    first, second = failed(hand, api.submit()), failed(hand, api.submit())
    key = {"Idempotency-Key": "again"}
    answers = [api.post(f"/jobs/{first}/retry", headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert api.post(f"/jobs/{second}/retry", headers=key).json()["code"] == "idempotency_mismatch"
    assert api.post("/add", ADD, headers=key).json()["code"] == "idempotency_mismatch"


@VERBS
def test_unknown_and_foreign_jobs_are_404(api: RunningApi, hand: Hand, verb: str) -> None:
    foreign = [accept(hand, owner="somebody") for _ in range(2)]
    failed(hand, foreign[1])
    for task_id in (str(uuid4()), "1", *foreign):
        answer = api.post(f"/jobs/{task_id}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert hand.count("SELECT count(*) FROM live_jobs WHERE NOT cancel_requested") == 1


@VERBS
@pytest.mark.parametrize("body", [b"", b"{}", b" { } "])
def test_body_may_be_empty(api: RunningApi, hand: Hand, verb: str, body: bytes) -> None:
    task_id = api.submit() if verb == "cancel" else failed(hand, api.submit())
    assert api.post_bytes(f"/jobs/{task_id}/{verb}", body).status_code in {200, 202}


@VERBS
@pytest.mark.parametrize(
    ("body", "status"), [(b'{"a": 1}', 422), (b"[]", 422), (b"{", 400), (b"{} {}", 400), (b" " * 1025, 413)]
)
def test_anything_in_the_body_is_refused(api: RunningApi, verb: str, body: bytes, status: int) -> None:
    task_id = api.submit()
    assert api.post_bytes(f"/jobs/{task_id}/{verb}", body).status_code == status
    assert api.get(f"/status/{task_id}").json()["status"] == "PENDING"


@VERBS
def test_web_page_of_another_site_cannot_control(api: RunningApi, verb: str) -> None:
    path = f"/jobs/{api.submit()}/{verb}"
    assert api.session.post(api.url + path, headers={"Origin": "http://evil.example"}, timeout=5).status_code == 415
    assert api.post_bytes(path, b"a=1", "application/x-www-form-urlencoded").status_code == 415


def test_cancellation_whose_answer_was_lost_is_told_all_the_same(api: RunningApi, hand: Hand) -> None:
    """The connection breaks after the commit: the statement is sent again, and finds the job revoked by itself."""
    task_id = api.submit()
    api.post(f"/jobs/{uuid4()}/cancel")
    cancel = load_query("api", "cancel")
    with hand.connection.transaction():
        # Somebody else's cancellation stands for the first try: it holds the row until the api's own try is under way.
        hand.connection.execute(cancel, {"task_id": task_id, "owner": "local"})
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(api.post(f"/jobs/{task_id}/cancel")))
        thread.start()
        with psycopg.connect(hand.connection.info.dsn, autocommit=True) as observer:
            wait_until(lambda: observer.execute(WAITS_FOR_LOCK).fetchone() == (1,), "the cancellation waits")
            observer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'api: control jobs'"
            )
    thread.join()
    assert (answers[0].status_code, answers[0].json()["status"]) == (200, "REVOKED")
