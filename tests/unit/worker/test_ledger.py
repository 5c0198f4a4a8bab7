"""When a pool process writes outcomes and claims jobs: one at a time, and several at once while attempts are very short."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID, uuid4

import pytest

from core.states import Status
from worker.attempt_store import AttemptStore, Claim, Wanted
from worker.board import Board
from worker.call_stream import CallStream
from worker.desk import Desk
from worker.late_writer import LateWriter
from worker.ledger import BUDGET_S, LATE_S, MOST_AT_ONCE, SMALL_CHARACTERS, Ended, Ledger
from worker.outcome import Attempt, Failed, Succeeded

SHORT_S = BUDGET_S / 20
CLAIM = Claim("{}", None, "local", 1, 0)
SUCCESS = Succeeded("5")


@dataclass
class Store:
    """Grants each claim but those of `refused` tokens, and writes each outcome."""

    turns: list[tuple[int, int]] = field(default_factory=list)
    claims: int = 0
    refused: set[UUID] = field(default_factory=set)
    kept: set[UUID] = field(default_factory=set)
    handed_back: list[UUID] = field(default_factory=list)

    def claim(self, wanted: Wanted) -> Claim | None:
        self.claims += 1
        return None if wanted.token in self.refused else CLAIM

    def turn(
        self, ended: Sequence[tuple[Attempt, object]], wanted: Sequence[Wanted] = ()
    ) -> tuple[dict[UUID, Status], dict[UUID, Claim]]:
        self.turns.append((len(ended), len(wanted)))
        granted = {job.token: CLAIM for job in wanted if job.token not in self.refused}
        return {attempt.token: Status.SUCCESS for attempt, _ in ended}, granted

    def hand_back(self, held: Mapping[UUID, UUID]) -> list[UUID]:
        back = [task_id for task_id in held.values() if task_id not in self.kept]
        self.handed_back += back
        return back


@dataclass
class LateWriterOfNone:
    """Notes that it would look."""

    is_awake: bool = False

    def follow(self, _ledger: Ledger) -> None:
        pass

    def wake(self) -> None:
        self.is_awake = True


class Process:
    """A pool process whose calls are what they want, and whose time passes as the test says."""

    def __init__(self, worker: CallStream, desk: Desk) -> None:
        self.worker = worker
        self.desk = desk
        self.store = Store()
        self.late_writer = LateWriterOfNone()
        self.now = 100.0
        self.ledger = Ledger(
            cast("AttemptStore", self.store), desk, lambda call: call, cast("LateWriter", self.late_writer), lambda: self.now
        )

    def give(self, count: int) -> list[Wanted]:
        jobs = [Wanted(uuid4(), 1, uuid4()) for _ in range(count)]
        for job in jobs:
            self.worker.send(job)
        return jobs

    def begin(self) -> tuple[Wanted, Claim | None]:
        wanted: Wanted = self.desk.take()
        return wanted, self.ledger.claim(wanted)

    def end(self, wanted: Wanted, outcome: Succeeded | Failed = SUCCESS, *, has_links: bool = False) -> None:
        self.ledger.end(Ended(Attempt(wanted.task_id, wanted.token, "tasks.add"), outcome, 1, has_links))
        self.desk.answer("ended")

    def run(self, duration_s: float = SHORT_S) -> None:
        wanted, claim = self.begin()
        assert claim is not None
        self.now += duration_s
        self.end(wanted)

    def warm_up(self) -> None:
        """Run so many short attempts that several are claimed at once."""
        self.give(40)
        for _ in range(40):
            self.run()
        self.ledger.settle()
        self.store.turns.clear()
        self.store.claims = 0

    def answers(self) -> int:
        """Return how many answers have come that had not come before."""
        count = 0
        while self.worker.has_whole():
            self.worker.take()
            count += 1
        return count


@pytest.fixture
def process() -> Iterator[Process]:
    ours, theirs = socket.socketpair()
    yield Process(CallStream(ours), Desk(CallStream(theirs), Board()))
    ours.close()
    theirs.close()


def test_outcome_is_written_with_the_claim_of_the_next_job(process: Process) -> None:
    process.give(2)
    process.run(1.0)
    assert process.store.turns == [(1, 1)]
    process.run(1.0)
    assert process.store.turns == [(1, 1), (1, 0)]
    assert process.store.claims == 1
    assert process.answers() == 2


def test_several_short_attempts_share_a_commit(process: Process) -> None:
    process.warm_up()
    process.give(1 + 2 * MOST_AT_ONCE)
    for _ in range(1 + 2 * MOST_AT_ONCE):
        process.run()
    assert process.store.turns == [(1, MOST_AT_ONCE), (MOST_AT_ONCE, MOST_AT_ONCE), (MOST_AT_ONCE, 0)]


def test_answers_wait_for_the_commit(process: Process) -> None:
    process.warm_up()
    process.answers()
    process.give(4)
    counts = []
    for _ in range(4):
        process.run()
        counts.append(process.answers())
    assert counts == [1, 0, 0, 3]


def test_long_attempts_are_claimed_and_written_one_by_one(process: Process) -> None:
    process.give(12)
    for _ in range(12):
        process.run(BUDGET_S)
    assert process.store.turns == [*[(1, 1)] * 11, (1, 0)]


def test_outcomes_wait_no_longer_than_the_budget(process: Process) -> None:
    process.warm_up()
    process.give(MOST_AT_ONCE + 2)
    process.run()
    for _ in range(3):
        process.run(BUDGET_S * 0.4)
    assert process.store.turns[:2] == [(1, MOST_AT_ONCE), (3, 1)]  # beside those that are claimed


@pytest.mark.parametrize(("outcome", "has_links"), [(Succeeded("1" * (SMALL_CHARACTERS + 1)), False), (SUCCESS, True)])
def test_what_may_not_wait_is_written_at_once(process: Process, outcome: Succeeded, has_links: bool) -> None:
    process.warm_up()
    process.give(3)
    process.run()
    wanted, _ = process.begin()
    process.end(wanted, outcome, has_links=has_links)
    assert process.store.turns[1][0] == 1
    assert not process.ledger.owes or process.desk.peek(1)


def test_outcomes_do_not_wait_for_a_job_that_could_not_be_claimed_with_others(process: Process) -> None:
    """Its own claim may take long: it waits for who has the row locked."""
    process.warm_up()
    _, _, third = process.give(3)
    process.store.refused.add(third.token)
    process.run()
    assert process.store.turns == [(1, 2)]
    process.run()
    assert process.store.turns == [(1, 2), (1, 1)]
    assert process.begin() == (third, None)


def test_outcomes_are_written_before_the_process_waits(process: Process) -> None:
    process.warm_up()
    _, _, third = process.give(3)
    process.run()
    process.run()
    wanted, _ = process.begin()
    process.worker.end()
    assert wanted == third  # it ends without an outcome, as one that was ignored
    with pytest.raises(EOFError):
        process.desk.take()
    assert process.store.turns == [(1, 2), (1, 0)]


def test_outcome_that_comes_twice_is_written_once(process: Process) -> None:
    """A time limit may raise while Celery reports the first one; then it reports a failure as well."""
    process.warm_up()
    process.give(3)
    process.run()
    wanted, _ = process.begin()
    process.ledger.end(Ended(Attempt(wanted.task_id, wanted.token, "tasks.add"), SUCCESS, 1))
    process.ledger.end(Ended(Attempt(wanted.task_id, wanted.token, "tasks.add"), Failed("{}"), 1))
    process.run()
    assert process.store.turns == [(1, 2), (2, 0)]


def test_nothing_waits_behind_a_call_that_takes_long(process: Process) -> None:
    process.warm_up()
    jobs = process.give(4)
    process.run()
    process.run()
    process.begin()
    process.answers()
    assert process.late_writer.is_awake
    hurried = Store()
    process.now += LATE_S / 2
    process.ledger.hurry(cast("AttemptStore", hurried))
    assert (hurried.turns, hurried.handed_back) == ([], [])
    process.now += LATE_S
    process.ledger.hurry(cast("AttemptStore", hurried))
    assert hurried.turns == [(1, 0)]
    assert hurried.handed_back == [jobs[3].task_id]
    assert process.answers() == 1
    assert not process.ledger.owes


def test_job_that_was_handed_back_is_claimed_anew(process: Process) -> None:
    process.warm_up()
    process.give(3)
    process.run()
    wanted, _ = process.begin()
    process.now += 2 * LATE_S
    process.ledger.hurry(cast("AttemptStore", Store()))
    process.end(wanted)
    assert process.store.turns == [(1, 2), (1, 1)]


def test_job_whose_turn_has_come_is_not_handed_back(process: Process) -> None:
    """After a long call, the next one is claimed with its outcome and begins."""
    process.give(2)
    process.run(10 * LATE_S)
    hurried = Store()
    process.ledger.hurry(cast("AttemptStore", hurried))
    assert hurried.handed_back == []


def test_old_claim_is_not_relied_on(process: Process) -> None:
    """The worker may have been frozen, or cut off from the database: the job may be another's by now."""
    process.warm_up()
    process.give(2)
    process.run()
    process.now += LATE_S
    process.begin()
    assert process.store.claims == 1


def test_nothing_depends_on_a_job_that_had_to_be_claimed_alone(process: Process) -> None:
    """It may be one that was lost before, because it ends its worker."""
    process.warm_up()
    _, second, third, fourth = process.give(4)
    process.store.refused.add(second.token)
    process.run()
    process.store.refused.clear()
    process.begin()
    assert process.store.handed_back == [third.task_id, fourth.task_id]
    assert process.store.claims == 2


def test_what_waits_behind_an_attempt_is_watched(process: Process) -> None:
    process.warm_up()
    process.give(3)
    process.run()
    process.late_writer.is_awake = False
    process.begin()
    assert process.late_writer.is_awake


def test_job_that_was_asked_to_stop_before_it_began_ends(process: Process) -> None:
    process.warm_up()
    _, _, third = process.give(3)
    process.run()
    process.begin()
    process.now += 2 * LATE_S
    hurried = Store(kept={third.task_id})
    process.ledger.hurry(cast("AttemptStore", hurried))
    assert (hurried.turns, hurried.handed_back) == ([(1, 0)], [])
    assert not process.ledger.owes
