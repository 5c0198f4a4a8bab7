"""What ends a benchmark: a wrong answer or a wrong result."""

import json

import pytest

from benchmarks.checks import check_answers, check_batch_answers, check_statuses
from benchmarks.contestant import Contestant, Sum
from benchmarks.errors import BenchmarkError
from benchmarks.load import Answer, LoadResult
from tests.unit.benchmarks.stub_contestant import StubContestant


@pytest.fixture
def contestant() -> Contestant:
    return StubContestant()


def _answers(*bodies: bytes, status: int = 202) -> LoadResult:
    return LoadResult(1.0, [Answer(index, status, body, 0.001) for index, body in enumerate(bodies)])


def _status(index: int) -> bytes:
    return json.dumps({"status": "SUCCESS", "result": Sum(index).result}).encode()


def test_ids_come_in_the_order_of_the_jobs(contestant: Contestant) -> None:
    result = _answers(b'{"task_id": "a"}', b'{"task_id": "b"}')
    result.answers.reverse()
    assert check_answers(contestant, result) == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"task_id": ""}', b'{"task_id": 5}', b'{"task_id": null}'])
def test_an_answer_without_an_id_ends_the_run(contestant: Contestant, body: bytes) -> None:
    with pytest.raises(BenchmarkError, match="a wrong answer"):
        check_answers(contestant, _answers(body))


def test_an_answer_that_is_not_2xx_ends_the_run(contestant: Contestant) -> None:
    with pytest.raises(BenchmarkError, match="job 0 was answered 503"):
        check_answers(contestant, _answers(b'{"task_id": "a"}', status=503))


def test_one_id_for_two_jobs_ends_the_run(contestant: Contestant) -> None:
    with pytest.raises(BenchmarkError, match="2 submissions have 1 ids"):
        check_answers(contestant, _answers(b'{"task_id": "a"}', b'{"task_id": "a"}'))


def test_ids_of_batches_come_in_the_order_of_the_jobs(contestant: Contestant) -> None:
    result = _answers(b'{"task_ids": ["a", "b"]}', b'{"task_ids": ["c", "d"]}')
    result.answers.reverse()
    assert check_batch_answers(contestant, result, 2) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("second", [b'{"task_ids": ["c"]}', b'{"task_ids": ["b", "c"]}'])
def test_a_batch_with_too_few_ids_or_one_twice_ends_the_run(contestant: Contestant, second: bytes) -> None:
    with pytest.raises(BenchmarkError, match="4 submissions have 3 ids"):
        check_batch_answers(contestant, _answers(b'{"task_ids": ["a", "b"]}', second), 2)


def test_statuses_are_those_of_the_jobs_that_were_asked_for_in_turn(contestant: Contestant) -> None:
    check_statuses(contestant, _answers(_status(7), _status(3), _status(7), status=200), [7, 3])


def test_the_status_of_another_job_ends_the_run(contestant: Contestant) -> None:
    with pytest.raises(BenchmarkError, match="the result of job 3 is 22 and must be 10"):
        check_statuses(contestant, _answers(_status(7), _status(7), status=200), [7, 3])


def test_a_status_that_is_not_2xx_ends_the_run(contestant: Contestant) -> None:
    with pytest.raises(BenchmarkError, match="the result of job 7 is None"):
        check_statuses(contestant, _answers(_status(7), status=404), [7])


def test_no_two_jobs_have_the_same_result() -> None:
    results = [Sum(index).result for index in range(1000)]
    assert len(set(results)) == 1000
    assert all(Sum(index).x + Sum(index).y == Sum(index).result for index in range(1000))
