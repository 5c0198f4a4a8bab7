"""What is measured. Each function measures one contestant once and checks every answer and every result."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.broker_queue import BrokerQueue, Sink
from benchmarks.contestant import Contestant, Sum
from benchmarks.errors import BenchmarkError
from benchmarks.load import LoadResult
from benchmarks.stack import LOAD_GENERATOR, Stack

CONNECTIONS: Final = 64
#: So many jobs of each drain are also asked for over HTTP.
ASKED: Final = 100
#: A queue that has not grown for so long holds what will be published before workers take something.
SETTLED_S: Final = 0.3

Measure = Callable[[Stack], "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one contestant in one round."""

    rate_per_s: float
    cpu_s_per_1000: Mapping[str, float]
    latencies_ms: Mapping[int, float] = field(default_factory=dict)
    published_share: float | None = None

    @property
    def total_cpu_s(self) -> float:
        """Per 1,000 jobs, of all parts and engines; what made the load is not counted."""
        return sum(spent for part, spent in self.cpu_s_per_1000.items() if part != LOAD_GENERATOR)


def submit(duration_s: float) -> Measure:
    """Submit for duration_s without workers; a sink takes what is published."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        before = stack.cpu_s()
        with Sink(stack.queue) as sink:
            result = stack.send(CONNECTIONS, duration_s=duration_s)
            after = stack.cpu_s()
        task_ids = check_answers(stack.contestant, result)
        published = min(1.0, sink.received / len(task_ids)) if stack.queue else None
        return Sample(result.rate_per_s, _per_1000(before, after, len(task_ids)), _latencies(result), published)

    return measure


def execute(count: int) -> Measure:
    """Queue `count` jobs while the workers are stopped (SIGSTOP); time from SIGCONT until all outcomes can be read."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        stack.pause_workers()
        task_ids = check_answers(stack.contestant, stack.send(CONNECTIONS, count=count))
        if stack.queue is not None:
            _wait_until_settled(stack.queue)
        before, started_at = stack.cpu_s(), time.perf_counter()
        stack.resume_workers()
        stack.wait_until_finished(count)
        elapsed_s, after = time.perf_counter() - started_at, stack.cpu_s()
        check_results(stack, task_ids)
        return Sample(count / elapsed_s, _per_1000(before, after, count))

    return measure


def end_to_end(count: int) -> Measure:
    """Submit `count` jobs to running workers, and time from the first request until all outcomes can be read."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        before, started_at = stack.cpu_s(), time.perf_counter()
        result = stack.send(CONNECTIONS, count=count)
        stack.wait_until_finished(count)
        elapsed_s, after = time.perf_counter() - started_at, stack.cpu_s()
        check_results(stack, check_answers(stack.contestant, result))
        return Sample(count / elapsed_s, _per_1000(before, after, count), _latencies(result))

    return measure


def check_answers(contestant: Contestant, result: LoadResult) -> list[str]:
    """Return the id of each job, by its index. Raises BenchmarkError at the first answer that is wrong."""
    ids: dict[int, str] = {}
    for answer in result.answers:
        if not answer.is_success:
            raise BenchmarkError(f"{contestant.name}: job {answer.index} was answered {answer.status} {answer.body[:500]!r}")
        try:
            ids[answer.index] = contestant.read_answer(Sum(answer.index), answer.body)
        except (KeyError, TypeError, ValueError) as error:
            raise BenchmarkError(f"{contestant.name}: a wrong answer: {answer.body[:500]!r}: {error}") from error
    if len(set(ids.values())) != len(result.answers):
        raise BenchmarkError(f"{contestant.name}: {len(result.answers)} submissions have {len(set(ids.values()))} ids")
    return [ids[index] for index in range(len(ids))]


def check_results(stack: Stack, task_ids: Sequence[str]) -> None:
    """Read every result from the store, and some as a client does. Raises BenchmarkError for the first that is wrong."""
    for index, result in enumerate(stack.contestant.read_results(task_ids)):
        _check_result(stack, index, result)
    asked = random.sample(range(len(task_ids)), min(ASKED, len(task_ids)))
    for answer in stack.ask([task_ids[index] for index in asked], connections=4).answers:
        _check_result(stack, asked[answer.index], stack.contestant.read_status(answer.body) if answer.is_success else None)


def _check_result(stack: Stack, index: int, result: object) -> None:
    if result != Sum(index).result:
        raise BenchmarkError(f"{stack.name}: the result of job {index} is {result!r} and must be {Sum(index).result}")


def _wait_until_settled(queue: BrokerQueue) -> None:
    counted, grown_at = -1, time.monotonic()
    while time.monotonic() < grown_at + SETTLED_S:
        before, counted = counted, queue.count()
        if counted != before:
            grown_at = time.monotonic()
        time.sleep(0.05)


def _per_1000(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, float]:
    return {part: (spent - before.get(part, 0.0)) * 1000 / count for part, spent in after.items()}


def _latencies(result: LoadResult) -> dict[int, float]:
    return {percent: result.percentile_ms(percent) for percent in (50, 99)}
