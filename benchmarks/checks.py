"""What voids a run: a wrong answer, a wrong result, a lost job."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from benchmarks.contestant import Contestant, Sum
from benchmarks.errors import BenchmarkError
from benchmarks.load import Answer, LoadResult
from benchmarks.stack import Stack

#: So many jobs of each drain are also asked for over HTTP.
ASKED: Final = 100

T = TypeVar("T")


def check_answers(contestant: Contestant, result: LoadResult) -> list[str]:
    """Return the id of each job, by its index. Raises BenchmarkError at the first answer that is wrong."""
    ids = _read_all(contestant, result, lambda answer: contestant.read_answer(Sum(answer.index), answer.body))
    _check_distinct(contestant, list(ids.values()), len(result.answers))
    return [ids[index] for index in range(len(ids))]


def check_batch_answers(contestant: Contestant, result: LoadResult, size: int) -> list[str]:
    """Return the ids of all jobs of all batches, in the order of the jobs."""
    ids = _read_all(contestant, result, lambda answer: list(map(str, json.loads(answer.body)["task_ids"])))
    ordered = [task_id for index in range(len(ids)) for task_id in ids[index]]
    _check_distinct(contestant, ordered, size * len(result.answers))
    return ordered


def check_results(stack: Stack, task_ids: Sequence[str]) -> None:
    """Read every result from the store, and some as a client does. Raises BenchmarkError for the first that is wrong."""
    contestant = stack.contestant
    for index, result in enumerate(contestant.read_results(task_ids)):
        _check_equal(contestant, index, result, contestant.expected(Sum(index)))
    asked = random.sample(range(len(task_ids)), min(ASKED, len(task_ids)))
    answers = stack.ask([task_ids[index] for index in asked], connections=4)
    check_statuses(contestant, answers, asked)


def check_statuses(contestant: Contestant, result: LoadResult, asked: Sequence[int]) -> None:
    """Check answers to status(), which went through the jobs `asked` in turn. Raises BenchmarkError for a wrong one."""
    for answer in result.answers:
        index = asked[answer.index % len(asked)]
        status = contestant.read_status(answer.body) if answer.is_success else None
        _check_equal(contestant, index, status, contestant.expected_status(Sum(index)))


def _read_all(contestant: Contestant, result: LoadResult, read: Callable[[Answer], T]) -> dict[int, T]:
    values: dict[int, T] = {}
    for answer in result.answers:
        if not answer.is_success:
            raise BenchmarkError(f"{contestant.name}: job {answer.index} was answered {answer.status} {answer.body[:500]!r}")
        try:
            values[answer.index] = read(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise BenchmarkError(f"{contestant.name}: a wrong answer: {answer.body[:500]!r}: {error}") from error
    return values


def _check_distinct(contestant: Contestant, ids: Sequence[str], count: int) -> None:
    if len(ids) != count or len(set(ids)) != count:
        raise BenchmarkError(f"{contestant.name}: {count} submissions have {len(set(ids))} ids")


def _check_equal(contestant: Contestant, index: int, value: object, expected: object) -> None:
    if value != expected:
        raise BenchmarkError(f"{contestant.name}: the result of job {index} is {value!r} and must be {expected!r}")
