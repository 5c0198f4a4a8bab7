"""What a full database costs: submissions and round trips with many finished jobs, and with many that wait."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from benchmarks.broker_queue import Sink
from benchmarks.measurements import CONNECTIONS, submit_on_top
from benchmarks.round_trips import trips_on_top
from benchmarks.samples import Sample
from benchmarks.stack import Stack

EMPTY: Final = "empty"
#: What the workers hold when the jobs vanish is put back or dropped within this time.
_QUIET_S: Final = 1.0

#: A submission and a round trip.
Pair = tuple[Sample, Sample]


def states(stack: Stack, duration_s: float, finished: tuple[int, ...], queued: int) -> Mapping[str, Callable[[], Pair]]:
    """Return by name what makes each state of the database and measures in it."""
    made: dict[str, Callable[[], Pair]] = {}
    for count in finished:
        name = f"{count:,} finished" if count else EMPTY
        made[name] = partial(_measure_finished, stack, duration_s, count)
    made[f"{queued:,} queued"] = partial(_measure_queued, stack, duration_s, queued)
    return made


def _measure_finished(stack: Stack, duration_s: float, count: int) -> Pair:
    _empty(stack)
    stack.batching.fill(count, 0)
    trips = trips_on_top(stack, duration_s, stack.contestant.submission)
    stack.pause_workers()
    try:
        submissions = submit_on_top(stack, duration_s, CONNECTIONS, Sink(stack.queue))
    finally:
        stack.resume_workers()
    return submissions, trips


def _measure_queued(stack: Stack, duration_s: float, count: int) -> Pair:
    """Submit behind stopped workers and a full queue; then let them run, and make round trips that go first."""
    _empty(stack)
    stack.pause_workers()
    try:
        stack.batching.fill(0, count)
        time.sleep(_QUIET_S)
        submissions = submit_on_top(stack, duration_s, CONNECTIONS, Sink(None))
    finally:
        stack.resume_workers()
    trips = trips_on_top(stack, duration_s, stack.batching.urgent_submission)
    _empty(stack)
    return submissions, trips


def _empty(stack: Stack) -> None:
    """Twice: the first time workers and scheduler may be busy with the jobs that go."""
    stack.clear()
    time.sleep(_QUIET_S)
    stack.clear()
