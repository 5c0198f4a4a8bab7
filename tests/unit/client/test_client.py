"""The client, against a stand-in for the service that hangs up, refuses, is late, and loses answers."""

import dataclasses
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from client import (
    ApiError,
    Client,
    ClientError,
    Conflict,
    InvalidRequest,
    JobFailed,
    JobRevoked,
    NotFound,
    Unavailable,
    WaitTimeout,
)
from tests.fake_service import Answer, FakeService, Seen, problem

HUGE = int("7" * 1000)
FAILED = {"status": "FAILURE", "error": {"type": "ValueError", "message": "no such colour"}, "attempts": 6}


def running(**members: Any) -> dict[str, Any]:
    return {"status": "STARTED", "finished_at": None, **members}


@contextmanager
def nobody_listens() -> Iterator[str]:
    """Give the address of a port that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


# What is sent


def test_arguments_are_the_body_and_options_travel_beside_it(client: Client, service: FakeService) -> None:
    eta = datetime(2030, 1, 31, 8, tzinfo=timezone(timedelta(hours=2)))
    client.submit("tasks.add", x=2, y=3, eta=eta, priority=9, expires_s=60.5, delay_s=0)
    (seen,) = service.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/add", {"x": 2, "y": 3})
    assert seen.query == {"eta": "2030-01-31T08:00:00+02:00", "priority": "9", "expires_s": "60.5", "delay_s": "0"}
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["task", "self", "priority", "eta", "idempotency_key", "args"])
def test_parameter_of_any_name_can_be_given_as_a_mapping(client: Client, service: FakeService, name: str) -> None:
    client.submit("add", {name: 1}, y=3)
    assert service.seen[0].json == {name: 1, "y": 3}


@pytest.mark.parametrize("value", [HUGE, -HUGE, 1e300, 0.1, 0, "", False, None, [], {}, "straße \U0001f600"])
def test_value_is_the_same_after_the_way_there_and_back(client: Client, value: Any) -> None:
    result = client.submit("echo", value=value).result()["value"]
    assert (result, type(result)) == (value, type(value))


def test_minus_zero_stays_minus_zero(client: Client, service: FakeService) -> None:
    assert str(client.submit("echo", value=-0.0).result()["value"]) == "-0.0"
    assert service.seen[0].body == b'{"value": -0.0}'


def test_values_beyond_json_are_sent_as_their_json_form(client: Client, service: FakeService) -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        on: date

    key = uuid4()
    client.submit("echo", at=datetime(2026, 1, 2, tzinfo=UTC), key=key, point=Point(1, date(2026, 1, 2)))
    sent = service.seen[0].json
    assert sent == {"at": "2026-01-02T00:00:00+00:00", "key": str(key), "point": {"x": 1, "on": "2026-01-02"}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, "\ud800"])
def test_value_without_json_is_refused_before_anything_is_sent(client: Client, service: FakeService, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        client.submit("echo", value=value)
    assert not service.seen


def test_limit_is_told_in_whole_seconds() -> None:
    with nobody_listens() as url, Client(url, timeout_s=1.4109) as client, pytest.raises(Unavailable, match=" within 1 s: "):
        client.status("0199")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", ""])
def test_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="base_url is http:// or https:// and a host"):
        Client(url)


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequest), (404, NotFound), (409, Conflict), (413, InvalidRequest), (422, InvalidRequest), (500, ApiError)],
)
def test_refusal_is_an_error_of_its_kind_and_is_not_repeated(
    client: Client, service: FakeService, status: int, kind: type[ApiError]
) -> None:
    service.script.append(problem(status, "some_code", "some detail"))
    with pytest.raises(kind) as caught:
        client.submit("add")
    assert (caught.value.status, caught.value.code, caught.value.detail) == (status, "some_code", "some detail")
    assert str(caught.value) == f"some detail ({status} some_code)"
    assert len(service.seen) == 1


def test_invalid_request_names_each_place(client: Client, service: FakeService) -> None:
    places = [{"loc": ["body", "y"], "message": "Field required", "type": "missing"}]
    service.script.append(Answer(422, {"status": 422, "code": "invalid", "detail": "wrong", "errors": places}))
    with pytest.raises(InvalidRequest) as caught:
        client.submit("add", x=2)
    assert caught.value.errors == tuple(places)


@pytest.mark.parametrize(
    "answer", [Answer(200, b"<html>"), Answer(200, []), Answer(200, {}), Answer(202, b"\xff"), Answer(404, b"<html>")]
)
def test_answer_of_another_service_is_an_api_error(client: Client, service: FakeService, answer: Answer) -> None:
    for call in (lambda: client.submit("add"), lambda: client.status("x"), client.tasks, lambda: next(client.jobs())):
        service.script.append(answer)
        with pytest.raises(ApiError) as caught:
            call()
        assert caught.value.code == "not_understood"


def test_redirection_is_not_followed_and_says_where_to(client: Client, service: FakeService) -> None:
    service.script.append(Answer(307, b"", {"Location": "https://elsewhere"}))
    with pytest.raises(ApiError, match="to https://elsewhere"):
        client.submit("add")
    assert len(service.seen) == 1


def test_every_error_is_a_client_error_and_survives_pickling(service: FakeService, client: Client) -> None:
    failed = client.status(service.add_job(**FAILED))
    errors: list[ClientError] = [
        NotFound(404, "not_found", "no job"),
        JobFailed(failed),
        WaitTimeout(failed, 2.0),
        Unavailable("gone"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert issubclass(WaitTimeout, TimeoutError)


def test_server_that_is_not_there_is_named_with_the_operation_and_the_limit() -> None:
    with nobody_listens() as url, Client(url, timeout_s=0.3) as client, pytest.raises(Unavailable) as caught:
        client.submit("add")
    assert str(caught.value) == f"cannot submit add at {url} within 0.3 s: Connection refused"


# Retries


@pytest.mark.parametrize("is_effective", [True, False], ids=["answer lost", "request lost"])
def test_lost_connection_never_makes_two_jobs(client: Client, service: FakeService, is_effective: bool) -> None:
    def lose(seen: Seen) -> Answer:
        return dataclasses.replace(service.handle(seen), is_lost=True)

    service.script.extend([lose, lose] if is_effective else [None, None])
    job = client.submit("add", x=2, y=3)
    assert list(service.jobs) == [job.task_id]
    assert len({seen.headers["idempotency-key"] for seen in service.seen}) == 1
    assert len(service.seen) == 3
    assert job.is_replayed is is_effective


def test_two_submissions_have_two_keys(client: Client, service: FakeService) -> None:
    assert client.submit("add").task_id != client.submit("add").task_id


def test_own_key_is_sent_and_a_replay_is_told(client: Client, service: FakeService) -> None:
    first = client.submit("add", idempotency_key="order 1")
    second = client.submit("add", idempotency_key="order 1")
    assert (first.is_replayed, second.is_replayed) == (False, True)
    assert first.task_id == second.task_id
    assert service.seen[0].headers["idempotency-key"] == "order 1"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_refusal_is_waited_out(client: Client, service: FakeService, status: int) -> None:
    service.script.extend([problem(status, "later"), Answer(status, b"<html>")])
    client.submit("add")
    assert len(service.seen) == 3


def test_retry_after_is_honoured(client: Client, service: FakeService) -> None:
    service.script.append(problem(503, "store_unavailable", Retry_After="1"))
    began = time.monotonic()
    client.submit("add")
    assert time.monotonic() - began >= 1.0


def test_retry_after_beyond_the_limit_ends_the_call_at_once(service: FakeService) -> None:
    service.script.append(problem(503, "backlog_full", "too many jobs", Retry_After="10"))
    began = time.monotonic()
    with Client(service.url, timeout_s=5) as client, pytest.raises(Unavailable, match=r"too many jobs \(503 backlog_full\)"):
        client.submit("add")
    assert time.monotonic() - began < 4


def test_service_that_never_answers_ends_the_call_at_its_limit(service: FakeService) -> None:
    is_over = threading.Event()

    def hang(seen: Seen) -> Answer:
        is_over.wait(10)
        return problem(503, "late")

    service.script.extend([hang] * 20)
    began = time.monotonic()
    with Client(service.url, timeout_s=0.5) as client, pytest.raises(Unavailable, match="timed out"):
        client.submit("add")
    assert 0.4 < time.monotonic() - began < 3
    is_over.set()


def test_service_that_refuses_for_ever_ends_the_call_at_its_limit(service: FakeService) -> None:
    service.script.extend([problem(503, "store_unavailable", "no database")] * 1000)
    began = time.monotonic()
    with Client(service.url, timeout_s=2) as client, pytest.raises(Unavailable, match="no database"):
        client.status("x")
    assert time.monotonic() - began < 6
    assert len(service.seen) < 50


# Waiting


def test_status_has_types(client: Client, service: FakeService) -> None:
    status = client.status(service.add_job(result=5, newer_member="is ignored"))
    assert (status.result, status.error, status.is_finished, status.value()) == (5, None, True, 5)
    assert status.created_at == datetime(2026, 1, 31, 8, tzinfo=UTC)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.result = 6  # type: ignore[misc]


@pytest.mark.parametrize("result", [0, "", False, [], None])
def test_empty_result_is_a_result(client: Client, service: FakeService, result: Any) -> None:
    status = client.wait(service.add_job(result=result))
    assert (status.value(), type(status.value())) == (result, type(result))


def test_failed_job_ends_the_wait_with_its_reason(client: Client, service: FakeService) -> None:
    job = client.submit("add")
    service.jobs[job.task_id].update(FAILED)
    assert job.wait().status == "FAILURE"
    with pytest.raises(JobFailed, match="is FAILURE after 6 attempts: ValueError: no such colour") as caught:
        job.result()
    assert (caught.value.type, caught.value.message) == ("ValueError", "no such colour")


def test_revoked_job_ends_the_wait(client: Client, service: FakeService) -> None:
    job = client.submit("add")
    service.jobs[job.task_id].update(status="REVOKED", error=None)
    with pytest.raises(JobRevoked):
        job.result()


def test_wait_ends_at_its_limit_and_does_not_flood_a_service_that_answers_early(
    client: Client, service: FakeService
) -> None:
    task_id = service.add_job(**running())
    with pytest.raises(WaitTimeout, match=r"is still STARTED after 0\.5 s") as caught:
        client.wait(task_id, timeout_s=0.5)
    assert caught.value.status.task_id == task_id
    assert len(service.seen) <= 5


def test_wait_survives_lost_connections_and_503(client: Client, service: FakeService) -> None:
    task_id = service.add_job(result=5)
    service.script.extend([Answer(200, service.jobs[task_id] | running()), None, problem(503, "store_unavailable"), None])
    assert client.wait(task_id, timeout_s=20).result == 5


def test_wait_for_an_unknown_job_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        client.wait("0199")


def test_no_wait_is_asked_for_longer_than_the_service_allows(client: Client, service: FakeService) -> None:
    client.wait(service.add_job(), timeout_s=float("inf"))
    assert float(service.seen[0].query["wait"]) <= 60


def test_watch_yields_each_change_and_ends_with_the_job(client: Client, service: FakeService) -> None:
    task_id = service.add_job()
    states: list[dict[str, Any]] = [
        running(status="PENDING", attempts=0),
        running(),
        running(),
        running(progress={"done": 1, "total": 2}),
        {},
    ]
    service.script.extend(Answer(200, service.jobs[task_id] | state) for state in states)
    seen = [(status.status, status.progress) for status in client.watch(task_id)]
    assert seen == [("PENDING", None), ("STARTED", None), ("STARTED", {"done": 1, "total": 2}), ("SUCCESS", None)]


# Control and lists


def test_cancel_returns_the_status_and_refuses_what_has_finished(client: Client, service: FakeService) -> None:
    task_id = service.add_job(status="REVOKED")
    service.script.append(Answer(200, {}))
    assert client.cancel(task_id).status == "REVOKED"
    assert service.seen[0].path == f"/jobs/{task_id}/cancel"
    service.script.append(problem(409, "conflict"))
    with pytest.raises(Conflict):
        client.cancel(service.add_job())


def test_cancel_whose_answer_was_lost_is_no_conflict(client: Client, service: FakeService) -> None:
    task_id = service.add_job(status="REVOKED")
    service.script.extend([None, problem(409, "conflict")])
    assert client.cancel(task_id).status == "REVOKED"


def test_retry_is_a_new_job_and_carries_a_key(client: Client, service: FakeService) -> None:
    new = service.add_job(result=7)
    service.script.extend([None, Answer(202, {"task_id": new, "status": "PENDING"})])
    assert client.retry("old").result() == 7
    assert service.seen[0].path == "/jobs/old/retry"
    assert service.seen[0].headers["idempotency-key"] == service.seen[1].headers["idempotency-key"]


# Many threads


def test_threads_share_connections(client: Client, service: FakeService) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: client.submit("add", x=n), range(100)))
        assert [result["x"] for result in pool.map(lambda job: job.result(), jobs)] == list(range(100))
    assert service.connections <= 8


def test_proxy_of_the_environment_is_not_asked_for_localhost(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Client(service.url, timeout_s=1) as client:
        client.submit("add")


def test_identifier_may_be_a_uuid(client: Client, service: FakeService) -> None:
    task_id: Any = UUID(service.add_job(result=1))
    assert client.wait(task_id).result == 1


def test_jobs_come_page_by_page_as_they_are_asked_for(client: Client, service: FakeService) -> None:
    jobs = [service.jobs[service.add_job(result=number)] for number in range(3)]
    service.script.extend([Answer(200, {"jobs": jobs[:2], "next": "c"}), Answer(200, {"jobs": jobs[2:], "next": None})])
    found = client.jobs(task="add", status="SUCCESS", created_after=datetime(2026, 1, 1, tzinfo=UTC), page_size=2)
    assert [next(found).result, next(found).result] == [0, 1]
    assert len(service.seen) == 1
    assert [status.result for status in found] == [2]
    first = {"task": "add", "status": "SUCCESS", "created_after": "2026-01-01T00:00:00+00:00", "limit": "2"}
    assert [seen.query for seen in service.seen] == [first, first | {"cursor": "c"}]


def test_result_that_a_list_left_out_is_no_none(client: Client, service: FakeService) -> None:
    job = service.jobs[service.add_job()] | {"result_omitted": True}
    service.script.append(Answer(200, {"jobs": [job], "next": None}))
    (status,) = client.jobs()
    with pytest.raises(ValueError, match=r"Client\.status has it"):
        status.value()
