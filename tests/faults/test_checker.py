"""The checker sees each kind of harm that the fault run looks for."""

from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from tests.faults.checker import Checker, Verdict
from tests.faults.load import Submission
from worker.attempt_store import CLAIM, TURN, turn_parameters
from worker.outcome import Attempt, Succeeded


class Bench:
    """A database in which a test itself does what api and workers would do."""

    def __init__(self, database_url: str, effects_log: Path) -> None:
        self.checker = Checker(database_url, effects_log)
        self.checker.begin()
        self.accepted: dict[str, Submission] = {}
        self._effects_log = effects_log
        self._database_url = database_url

    def accept(self, number: int, task: str = "effects.quick") -> UUID:
        job = NewJob(task_id=new_task_id(), task=task, queue="default", args=f'{{"number": {number}}}')
        self._execute(ACCEPT, accept_parameters([job]))
        self.accepted[str(job.task_id)] = Submission(number, task, 0.0, None)
        return job.task_id

    def run(self, task_id: UUID, result: str) -> None:
        """Claim, execute, finish."""
        token = uuid4()
        self._execute(CLAIM, {"task_id": task_id, "token": token, "worker": "w", "series": 1})
        self.execute(task_id, token)
        ended = turn_parameters([(Attempt(task_id, token, "effects.quick"), Succeeded(result))])
        self._execute(TURN, ended | {"worker": "w"})

    def execute(self, task_id: UUID, token: UUID) -> None:
        with self._effects_log.open("a") as file:
            file.write(f"{task_id} {token}\n")

    def forget_executions(self) -> None:
        self._effects_log.write_text("")

    def change(self, statement: str, task_id: UUID | None = None) -> None:
        self._execute(statement.encode(), {} if task_id is None else {"task_id": task_id})

    def judge(self) -> Verdict:
        return self.checker.judge(self.accepted, extra_executions_bound=0)

    def _execute(self, query: LiteralString | bytes, parameters: dict[str, Any]) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            connection.execute(query, parameters)


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Bench:
    return Bench(database_url, tmp_path / "effects")


def _harm(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "stuck", "wrong", "early", "extra_executions", "duplicate_outcomes", "repeated_attempts")
    return {name: getattr(verdict, name) for name in names if getattr(verdict, name)}


def test_no_harm_is_seen_where_none_is(bench: Bench) -> None:
    bench.run(bench.accept(3), "9")
    assert _harm(bench.judge()) == {}
    assert (bench.judge().accepted, bench.judge().finished) == (1, 1)


def test_job_without_a_row_is_lost(bench: Bench) -> None:
    bench.change("DELETE FROM jobs WHERE task_id = %(task_id)s", bench.accept(3))
    assert bench.judge().lost == 1


def test_job_that_was_never_executed_is_lost(bench: Bench) -> None:
    task_id = bench.accept(3)
    bench.run(task_id, "9")
    bench.forget_executions()
    assert bench.judge().lost == 1


def test_unfinished_job_is_stuck(bench: Bench) -> None:
    bench.accept(3)
    assert (bench.judge().stuck, bench.judge().finished) == (1, 0)


def test_result_of_another_number_is_wrong(bench: Bench) -> None:
    bench.run(bench.accept(3), "16")
    assert _harm(bench.judge()) == {"wrong": 1}


def test_flaky_job_that_succeeded_at_once_is_wrong(bench: Bench) -> None:
    bench.run(bench.accept(3, "effects.flaky"), "9")
    assert bench.judge().wrong == 1


def test_job_that_ran_before_its_time_is_early(bench: Bench) -> None:
    task_id = bench.accept(3)
    bench.run(task_id, "9")
    bench.change("UPDATE attempts SET started_at = started_at - interval '1 s' WHERE task_id = %(task_id)s", task_id)
    assert _harm(bench.judge()) == {"early": 1}


def test_job_whose_time_was_set_too_early_is_early(bench: Bench) -> None:
    task_id = bench.accept(3)
    bench.accepted[str(task_id)] = replace(bench.accepted[str(task_id)], delay_s=1.0)
    bench.run(task_id, "9")
    assert _harm(bench.judge()) == {"early": 1}


def test_retry_that_did_not_wait_is_early(bench: Bench) -> None:
    task_id = bench.accept(3, "effects.flaky")
    bench.run(task_id, "9")
    failed = "SELECT task_id, 0, 0, worker, started_at, started_at + interval '1 s', 'FAILURE' FROM attempts"
    bench.change(f"INSERT INTO attempts {failed} WHERE task_id = %(task_id)s", task_id)
    assert bench.judge().early == 1


def test_second_execution_is_extra(bench: Bench) -> None:
    task_id = bench.accept(3)
    bench.run(task_id, "9")
    bench.execute(task_id, uuid4())
    assert _harm(bench.judge()) == {"extra_executions": 1}


def test_attempt_that_ran_twice_is_repeated(bench: Bench) -> None:
    task_id, token = bench.accept(3), uuid4()
    bench.execute(task_id, token)
    bench.execute(task_id, token)
    assert bench.judge().repeated_attempts == 1
    assert not bench.judge().is_good


def test_outcome_that_is_written_over_is_a_duplicate(bench: Bench) -> None:
    task_id = bench.accept(3)
    bench.run(task_id, "9")
    # the schema refuses it, unless somebody takes the refusal out
    bench.change("ALTER TABLE jobs DISABLE TRIGGER finished_job_never_changes")
    bench.change("UPDATE jobs SET finished_at = now() WHERE task_id = %(task_id)s", task_id)
    assert _harm(bench.judge()) == {"duplicate_outcomes": 1}


def test_execution_of_a_job_that_nobody_knows_is_wrong(bench: Bench) -> None:
    bench.execute(uuid4(), uuid4())
    assert _harm(bench.judge()) == {"wrong": 1}
