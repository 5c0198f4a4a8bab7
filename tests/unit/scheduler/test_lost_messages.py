from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scheduler.lost_messages import LostMessages, PublishedJobs, Republication

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def published(unclaimed: int, oldest: float | None = None, newest_claimed: float | None = None) -> PublishedJobs:
    return PublishedJobs(
        "default",
        unclaimed,
        None if oldest is None else at(oldest),
        None if newest_claimed is None else at(newest_claimed),
    )


def counts(*ready: int | None) -> Callable[[str], int | None]:
    answers = deque(ready)
    return lambda _queue: answers.popleft() if len(answers) > 1 else answers[0]


def test_an_empty_queue_with_unclaimed_jobs_is_published_again_after_five_seconds() -> None:
    lost = LostMessages()
    verdicts = [lost.judge(now, [published(3, oldest=0)], counts(0)) for now in (0.0, 2.0, 4.9, 5.0)]
    assert verdicts == [[], [], [], [Republication("default", before=None)]]


def test_messages_that_are_ready_start_the_five_seconds_again() -> None:
    lost = LostMessages()
    ready = counts(0, 1, 0, 0, 0)
    verdicts = [lost.judge(now, [published(3, oldest=0)], ready) for now in (0.0, 4.0, 5.0, 8.0, 9.0)]
    assert [bool(verdict) for verdict in verdicts] == [False, False, False, False, True]


def test_after_a_republication_the_five_seconds_start_again() -> None:
    lost = LostMessages()
    verdicts = [lost.judge(now, [published(3, oldest=0)], counts(0)) for now in range(0, 31, 2)]
    assert sum(map(len, verdicts)) == 5


def test_the_broker_is_not_asked_when_nothing_is_in_doubt() -> None:
    def fail(_queue: str) -> int:
        raise AssertionError("asked")

    assert LostMessages().judge(0.0, [published(0)], fail) == []


def test_a_queue_that_was_not_in_doubt_for_a_while_starts_anew() -> None:
    lost = LostMessages()
    lost.judge(0.0, [published(1, oldest=0)], counts(0))
    lost.judge(2.0, [published(0)], counts(0))
    assert lost.judge(6.0, [published(1, oldest=0)], counts(0)) == []


def test_a_job_that_was_overtaken_by_thirty_seconds_is_published_again_though_messages_are_ready() -> None:
    lost = LostMessages()
    assert lost.judge(0.0, [published(1, oldest=0, newest_claimed=29)], counts(500)) == []
    assert lost.judge(2.0, [published(1, oldest=0, newest_claimed=31)], counts(500)) == [
        Republication("default", before=at(1))
    ]


def test_what_was_claimed_is_remembered_when_nothing_runs_at_the_moment() -> None:
    lost = LostMessages()
    lost.judge(0.0, [published(0, newest_claimed=100)], counts(500))
    assert lost.judge(2.0, [published(1, oldest=0)], counts(500)) == [Republication("default", before=at(70))]


def test_queues_are_judged_apart() -> None:
    lost = LostMessages()
    other = PublishedJobs("other", 0, None, at(1000))
    assert lost.judge(0.0, [published(1, oldest=0), other], counts(500)) == []


def test_copies_of_messages_that_busy_workers_hold_are_bounded_by_their_prefetch() -> None:
    """Workers are busy for an hour and hold all jobs prefetched: neither ready nor claimed."""
    jobs, capacity = 20, 64
    lost = LostMessages()
    taken_ahead, ready, copies = jobs, 0, 0
    for now in range(0, 3600, 2):
        for _ in lost.judge(float(now), [published(jobs, oldest=0)], lambda _queue: ready):  # noqa: B023  # called at once
            copies += jobs
            ready += jobs
        moved = min(ready, capacity - taken_ahead)
        taken_ahead += moved
        ready -= moved
    assert ready > 0, "messages wait in the queue, so the rule has stopped itself"
    assert copies <= capacity + jobs


def test_nothing_is_known_of_a_queue_that_the_broker_refuses() -> None:
    lost = LostMessages()
    ready = counts(0, None, 0, 0)
    verdicts = [lost.judge(now, [published(3, oldest=0)], ready) for now in (0.0, 4.0, 6.0, 9.0)]
    assert [bool(verdict) for verdict in verdicts] == [False, False, False, True]


def test_a_queue_that_the_broker_refuses_holds_back_no_other() -> None:
    lost = LostMessages()
    queues = [published(3, oldest=0), PublishedJobs("other", 1, at(0), None)]
    verdicts = [lost.judge(now, queues, lambda queue: None if queue == "default" else 0) for now in (0.0, 5.0)]
    assert verdicts == [[], [Republication("other", before=None)]]
