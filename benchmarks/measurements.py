"""What is measured under load. Each function measures one contestant once and checks every answer and every result."""

import time
from collections.abc import Callable
from typing import Final

from benchmarks.broker_queue import BrokerQueue, Sink
from benchmarks.checks import check_answers, check_batch_answers, check_results, check_statuses
from benchmarks.contestant import Sum
from benchmarks.errors import BenchmarkError
from benchmarks.samples import Sample, Window, latencies_ms
from benchmarks.stack import STALL_LIMIT_S, Stack

CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 4
#: Finished jobs that status() asks for, in turn.
STATUS_JOBS: Final = 200
#: A queue that has not grown for so long holds what will be published before workers take something.
SETTLED_S: Final = 0.3

Measure = Callable[[Stack], Sample]


def submit(duration_s: float, connections: int = CONNECTIONS) -> Measure:
    """Submit for duration_s without workers; a sink takes what is published."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        return submit_on_top(stack, duration_s, connections, Sink(stack.queue))

    return measure


def submit_on_top(stack: Stack, duration_s: float, connections: int, sink: Sink) -> Sample:
    """The same, in addition to the jobs that are there."""
    window = Window(stack)
    with sink:
        result = stack.send(connections, duration_s=duration_s)
        window.close()
    task_ids = check_answers(stack.contestant, result)
    published = min(1.0, sink.received / len(task_ids)) if sink.is_counting else None
    return Sample(result.rate_per_s, window.cpu_s_per_1000(len(task_ids)), latencies_ms(result), published)


def publish_singles(count: int) -> Measure:
    """Submit `count` jobs one by one without workers; time until all are published."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        window = Window(stack)
        with Sink(stack.queue, interval_s=0.02) as sink:
            result = stack.send(CONNECTIONS, count=count)
            _wait_until_published(stack, sink, count)
            window.close()
        check_answers(stack.contestant, result)
        return Sample(count / window.elapsed_s, window.cpu_s_per_1000(count), latencies_ms(result))

    return measure


def publish_batches(count: int, size: int) -> Measure:
    """The same with so many jobs in each request."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        batches = [range(at, at + size) for at in range(0, count, size)]
        requests = [stack.batching.batch_submission(list(map(Sum, batch))) for batch in batches]
        window = Window(stack)
        with Sink(stack.queue, interval_s=0.02) as sink:
            result = stack.send_requests(requests, BATCH_CONNECTIONS)
            _wait_until_published(stack, sink, count)
            window.close()
        check_batch_answers(stack.contestant, result, size)
        return Sample(count / window.elapsed_s, window.cpu_s_per_1000(count), latencies_ms(result))

    return measure


def execute(count: int) -> Measure:
    """Queue `count` jobs while the workers are stopped (SIGSTOP); time from SIGCONT until all outcomes can be read."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        stack.pause_workers()
        task_ids = check_answers(stack.contestant, stack.send(CONNECTIONS, count=count))
        if stack.queue is not None:
            _wait_until_settled(stack.queue)
        window = Window(stack)
        stack.resume_workers()
        stack.wait_until_finished(count)
        window.close()
        check_results(stack, task_ids)
        return Sample(count / window.elapsed_s, window.cpu_s_per_1000(count))

    return measure


def end_to_end(count: int) -> Measure:
    """Submit `count` jobs to running workers, and time from the first request until all outcomes can be read."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        window = Window(stack)
        result = stack.send(CONNECTIONS, count=count)
        stack.wait_until_finished(count)
        window.close()
        check_results(stack, check_answers(stack.contestant, result))
        return Sample(count / window.elapsed_s, window.cpu_s_per_1000(count), latencies_ms(result))

    return measure


def status(duration_s: float) -> Measure:
    """Ask for the status of jobs that have finished, for duration_s; of one that takes no jobs, for its bare answer."""

    def measure(stack: Stack) -> Sample:
        task_ids = _finish_some(stack)
        window = Window(stack)
        result = stack.ask(task_ids, CONNECTIONS, duration_s)
        window.close()
        check_statuses(stack.contestant, result, range(len(task_ids)))
        return Sample(result.rate_per_s, window.cpu_s_per_1000(len(result.answers)), latencies_ms(result))

    return measure


def _finish_some(stack: Stack) -> list[str]:
    if not stack.contestant.runs_jobs:
        return [str(index) for index in range(STATUS_JOBS)]
    stack.clear()
    task_ids = check_answers(stack.contestant, stack.send(CONNECTIONS, count=STATUS_JOBS))
    stack.wait_until_finished(STATUS_JOBS)
    return task_ids


def _wait_until_published(stack: Stack, sink: Sink, count: int) -> None:
    received, grown_at = -1, time.monotonic()
    while received < count:
        before, received = received, sink.received
        if received != before:
            grown_at = time.monotonic()
        elif time.monotonic() > grown_at + STALL_LIMIT_S:
            raise BenchmarkError(f"{stack.name}: {count - received} of {count} jobs were never published")
        time.sleep(0.005)


def _wait_until_settled(queue: BrokerQueue) -> None:
    counted, grown_at = -1, time.monotonic()
    while time.monotonic() < grown_at + SETTLED_S:
        before, counted = counted, queue.count()
        if counted != before:
            grown_at = time.monotonic()
        time.sleep(0.05)
