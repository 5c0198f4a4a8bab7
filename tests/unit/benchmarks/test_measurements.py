"""What ends a benchmark: a wrong answer or a wrong result. And how its ratios are made."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.contestant import Command, Contestant, Engines, Sum
from benchmarks.errors import BenchmarkError
from benchmarks.load import Answer, LoadResult
from benchmarks.measurements import Sample, check_answers
from benchmarks.report import ratios


class Stub(Contestant):
    title = "none"

    def api(self, port: int) -> Sequence[Command]:
        return ()


@pytest.fixture
def contestant() -> Contestant:
    return Stub("stub", Path("python"), Engines("", "", Path(), 0))


def _answers(*bodies: bytes, status: int = 202) -> LoadResult:
    return LoadResult(1.0, [Answer(index, status, body, 0.001) for index, body in enumerate(bodies)])


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


def test_no_two_jobs_have_the_same_result() -> None:
    results = [Sum(index).result for index in range(1000)]
    assert len(set(results)) == 1000
    assert all(Sum(index).x + Sum(index).y == Sum(index).result for index in range(1000))


def test_a_ratio_compares_samples_of_the_same_round() -> None:
    ours = [Sample(rate, {"api": 1.0}) for rate in (100.0, 200.0, 400.0)]
    theirs = [Sample(rate, {"api": 2.0}) for rate in (50.0, 200.0, 100.0)]
    row = ratios({"ours": ours, "theirs": theirs}, "ours").splitlines()[-1]
    assert row == "| ours / theirs | 2.00 [1.00 to 4.00] | 0.50 [0.50 to 0.50] |"


def test_the_load_generator_is_not_among_the_costs_of_a_job() -> None:
    assert Sample(1.0, {"api": 0.5, "postgres": 0.25, "load generator": 9.0}).total_cpu_s == 0.75
