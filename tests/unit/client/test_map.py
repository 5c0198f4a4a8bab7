"""Client.map: in order, in batches, ahead of the reader but not too far, and through outages."""

import dataclasses
import threading
import time
from collections import Counter
from itertools import count, islice
from typing import Any

import pytest

from client import Client, InvalidRequest, JobFailed, JobRevoked, NotFound, Unavailable, WaitTimeout
from client.client import MAP_THREADS
from tests.engines import wait_until
from tests.fake_service import Answer, FakeService, Seen, problem

FAILED = {"status": "FAILURE", "error": {"type": "ValueError", "message": "no such colour"}}


def batches(service: FakeService) -> list[int]:
    return [len(seen.json["jobs"]) for seen in service.seen if seen.path == "/jobs/batch"]


def fail_job_number(service: FakeService, number: int, **members: Any) -> None:
    handle = service.handle

    def handle_failing(seen: Seen) -> Answer:
        answer = handle(seen)
        if seen.path.startswith("/status/") and answer.body["result"] == {"x": number}:
            return Answer(200, answer.body | members)
        return answer

    service.handle = handle_failing  # type: ignore[method-assign]


def test_results_come_in_the_order_of_the_inputs(client: Client, service: FakeService) -> None:
    results = client.map("echo", ({"x": n} for n in range(250)), batch_size=100)
    assert [result["x"] for result in results] == list(range(250))
    assert batches(service) == [100, 100, 50]


def test_each_job_has_a_key_of_its_own(client: Client, service: FakeService) -> None:
    list(client.map("echo", [{"x": 1}, {"x": 1}, {"x": 1}], batch_size=2))
    assert len(service.keys) == 3


def test_no_input_is_no_result_and_no_request(client: Client, service: FakeService) -> None:
    assert list(client.map("echo", [])) == []
    assert not service.seen


def test_it_begins_before_it_is_read(client: Client, service: FakeService) -> None:
    results = client.map("echo", [{"x": 1}])
    assert batches(service) == [1]
    assert next(results) == {"x": 1}


def test_large_inputs_make_smaller_batches(client: Client, service: FakeService) -> None:
    texts = [str(number) * 3_000_000 for number in range(4)]
    assert [result["x"] for result in client.map("echo", ({"x": text} for text in texts))] == texts
    assert batches(service) == [2, 2]


def test_endless_inputs_are_read_two_batches_ahead(client: Client, service: FakeService) -> None:
    results = client.map("echo", ({"x": n} for n in count()), batch_size=50)
    assert [result["x"] for result in islice(results, 120)] == list(range(120))
    assert len(service.jobs) <= 120 + 2 * 50 + 50


def test_late_job_is_waited_for_though_later_ones_have_finished(client: Client, service: FakeService) -> None:
    is_late = threading.Event()
    asked: list[str] = []
    handle = service.handle

    def handle_late(seen: Seen) -> Answer:
        answer = handle(seen)
        if seen.path.startswith("/status/") and answer.body["result"] == {"x": 0}:
            asked.append(seen.path)
            is_late.wait(0.2)
            return Answer(200, answer.body | ({} if len(asked) > 3 else {"status": "STARTED", "finished_at": None}))
        return answer

    service.handle = handle_late  # type: ignore[method-assign]
    assert [result["x"] for result in client.map("echo", ({"x": n} for n in range(30)))] == list(range(30))
    assert len(asked) == 4


@pytest.mark.parametrize("is_effective", [True, False], ids=["answer lost", "request lost"])
def test_batch_whose_answer_is_lost_makes_no_job_twice(client: Client, service: FakeService, is_effective: bool) -> None:
    def lose(seen: Seen) -> Answer:
        return dataclasses.replace(service.handle(seen), is_lost=True)

    service.script.append(lose if is_effective else None)
    assert [result["x"] for result in client.map("echo", ({"x": n} for n in range(20)))] == list(range(20))
    assert len(service.jobs) == 20
    assert batches(service) == [20, 20]


def test_outage_in_the_middle_is_survived(client: Client, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.client.MAP_STEP_S", 0.1)  # so the threads give up, and the reader goes on
    back_at: list[float] = []
    handle = service.handle
    answered: Counter[str] = Counter()

    def handle_with_outage(seen: Seen) -> Answer:
        answered[seen.path] += 1
        if len(answered) > 60 and not back_at:
            back_at.append(time.monotonic() + 1.5)
        if back_at and time.monotonic() < back_at[0]:
            return Answer(200, is_lost=True)
        return handle(seen)

    service.handle = handle_with_outage  # type: ignore[method-assign]
    results = client.map("echo", ({"x": n} for n in range(300)), batch_size=50)
    assert [result["x"] for result in results] == list(range(300))
    assert back_at
    assert len(service.jobs) == 300


@pytest.mark.parametrize(("members", "kind"), [(FAILED, JobFailed), ({"status": "REVOKED"}, JobRevoked)])
def test_job_without_success_ends_the_iterator(
    client: Client, service: FakeService, members: dict[str, Any], kind: type[Exception]
) -> None:
    fail_job_number(service, 3, **members)
    results = client.map("echo", ({"x": n} for n in range(10)))
    assert [result["x"] for result in islice(results, 3)] == [0, 1, 2]
    with pytest.raises(kind):
        next(results)
    assert list(results) == []


def test_errors_are_yielded_in_their_place_if_asked_for(client: Client, service: FakeService) -> None:
    fail_job_number(service, 3, **FAILED)
    results = list(client.map("echo", ({"x": n} for n in range(5)), return_errors=True))
    assert isinstance(results[3], JobFailed)
    assert [result["x"] for result in results[:3] + results[4:]] == [0, 1, 2, 4]


def test_empty_results_are_yielded_as_they_are(client: Client, service: FakeService) -> None:
    fail_job_number(service, 1, result=None)
    assert list(client.map("echo", [{"x": 0}, {"x": 1}], return_errors=True)) == [{"x": 0}, None]


def test_refused_input_is_an_error_at_once(client: Client, service: FakeService) -> None:
    service.script.append(problem(422, "invalid", "jobs.1: y: Field required"))
    with pytest.raises(InvalidRequest, match="Field required"):
        client.map("add", [{"x": 1}])


def test_job_that_was_deleted_is_an_error(client: Client, service: FakeService) -> None:
    results = client.map("echo", [{"x": 1}])
    service.jobs.clear()
    with pytest.raises(NotFound):
        next(results)


def test_result_that_does_not_come_ends_the_iterator_at_its_limit(client: Client, service: FakeService) -> None:
    fail_job_number(service, 0, status="STARTED", finished_at=None)
    with pytest.raises(WaitTimeout):
        list(client.map("echo", [{"x": 0}], timeout_s=0.5))


def test_service_that_is_gone_ends_the_iterator_at_its_limit(client: Client, service: FakeService) -> None:
    results = client.map("echo", [{"x": 0}], timeout_s=0.5)
    service.script.extend([None] * 10_000)
    with pytest.raises(Unavailable):
        next(results)


def test_reader_that_goes_leaves_no_thread_and_asks_no_more(client: Client, service: FakeService) -> None:
    is_gone = threading.Event()
    handle = service.handle

    def handle_late(seen: Seen) -> Answer:
        answer = handle(seen)
        if seen.path.startswith("/status/") and answer.body["result"] != {"x": 0}:
            is_gone.wait(10)
        return answer

    service.handle = handle_late  # type: ignore[method-assign]
    results = client.map("echo", ({"x": n} for n in count()), batch_size=50)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    is_gone.set()
    wait_until(lambda: not any(thread.name.startswith("map_") for thread in threading.enumerate()), 10, "no thread is left")
    assert sum(seen.path.startswith("/status/") for seen in service.seen) <= 1 + MAP_THREADS


@pytest.mark.parametrize("size", [0, -1, 10_001])
def test_size_that_no_batch_has_is_refused(client: Client, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size is 1 to 10000"):
        client.map("echo", [{"x": 1}], batch_size=size)
