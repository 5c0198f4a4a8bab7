"""What became of every job, by three witnesses that do not know each other: clients, database, and effects log."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from tests.engines import wait_until
from tests.faults.load import Submission

#: Every outcome that is ever written leaves a row here, also one that would write over another.
_RECORD_OUTCOMES: Final = """
CREATE TABLE outcomes (task_id uuid NOT NULL, status text, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON outcomes (task_id);
CREATE FUNCTION record_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outcomes (task_id, status) VALUES (NEW.task_id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER record_outcome AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION record_outcome();
"""

_JOBS: Final = """
SELECT task_id::text, task, status, result, args::json ->> 'number' AS number, finished_at, tried.attempts, outcomes,
    first_started_at < due_at OR is_hasty AS is_early, extract(epoch FROM due_at - created_at)::float8 AS delay_s
FROM jobs j
CROSS JOIN LATERAL (SELECT count(*) FROM outcomes o WHERE o.task_id = j.task_id) AS recorded(outcomes)
CROSS JOIN LATERAL (
    SELECT array_agg(outcome ORDER BY series), min(started_at), bool_or(outcome_before = 'FAILURE' AND started_at < again_at)
    FROM (
        SELECT *, lag(outcome) OVER by_series AS outcome_before, lag(ended_at) OVER by_series + %(pause)s AS again_at
        FROM attempts a WHERE a.task_id = j.task_id WINDOW by_series AS (ORDER BY series)
    ) AS ordered
) AS tried(attempts, first_started_at, is_hasty)
"""

#: Between two looks at tables that may be long.
PAUSE_S: Final = 0.05
#: The parts under test wait at least half of it before the first retry.
RETRY_BASE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one case."""

    accepted: int
    finished: int
    lost: int
    stuck: int
    wrong: int
    early: int
    extra_executions: int
    extra_executions_bound: int
    duplicate_outcomes: int
    #: Attempts, told apart by their tokens, that ran more than once.
    repeated_attempts: int = 0
    #: Seconds from the last disturbance (or from the last acceptance, if that came later) to the last outcome, and to the
    #: first success of an attempt that began after it.
    drained_s: float = 0.0
    recovered_s: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether every job that was accepted ran when it should, and has the one outcome that it must have."""
        harm = (self.lost, self.stuck, self.wrong, self.early, self.duplicate_outcomes, self.repeated_attempts)
        is_bounded = 0 <= self.extra_executions <= self.extra_executions_bound
        return self.finished == self.accepted and not any(harm) and is_bounded

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, finished {self.finished}, lost {self.lost}, stuck {self.stuck}, wrong {self.wrong}, "
            f"early {self.early}, extra executions {self.extra_executions} (bound {self.extra_executions_bound}), "
            f"duplicate outcomes {self.duplicate_outcomes}, repeated attempts {self.repeated_attempts}, "
            f"drained in {self.drained_s:.1f} s, recovered in {self.recovered_s:.1f} s"
        )


class Checker:
    """Reads the database and the effects log of one stack, whose RETRY_BASE_S it knows. begin() empties both."""

    def __init__(self, database_url: str, effects_log: Path, retry_base_s: float = RETRY_BASE_S) -> None:
        self._shortest_pause = timedelta(seconds=retry_base_s / 2)
        self._database_url = database_url
        self._effects_log = effects_log
        self._execute(_RECORD_OUTCOMES)
        self.begun_at = datetime.now(UTC)

    def begin(self) -> None:
        """Forget all earlier jobs. (Tables in the order in which the scheduler locks them, or we could deadlock.)"""
        self._execute("TRUNCATE live_jobs, jobs, attempts, finished_jobs, idempotency_keys, outcomes")
        self.begun_at = datetime.now(UTC)
        self._effects_log.touch()
        os.truncate(self._effects_log, 0)

    def finished(self) -> int:
        """Return how many outcomes have been written; -1 while the database is away."""
        return self._count("outcomes")

    def wait_claimed(self, count: int, limit_s: float = 30.0) -> None:
        """Return when so many jobs are being run."""
        wait_until(lambda: self._count("live_jobs WHERE status = 'STARTED'") >= count, limit_s, f"{count} jobs are run")

    def wait_finished(self, count: int, limit_s: float = 60.0) -> None:
        """Return when so many jobs have finished."""
        wait_until(lambda: self.finished() >= count, limit_s, f"{count} jobs finished", PAUSE_S)

    def wait_drained(self, limit_s: float) -> None:
        """Return when no job is unfinished. Raises TimeoutError that shows some of those that are."""
        try:
            wait_until(lambda: self._count("live_jobs") == 0, limit_s, "no job is left unfinished", PAUSE_S)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._rows('SELECT * FROM live_jobs LIMIT 5')}") from None

    def recovery_s(self, moment: float, limit_s: float, worker: str = "") -> float:
        """Return the seconds from the moment (of time.time()) to the first success of an attempt that began after it.

        worker: count only attempts of the worker with this name.
        """
        query = "SELECT extract(epoch FROM min(ended_at))::float8 - %(moment)s AS after_s FROM attempts"
        query += " WHERE outcome = 'SUCCESS' AND started_at > to_timestamp(%(moment)s) AND starts_with(worker, %(worker)s)"
        found: list[float] = []

        def look() -> bool:
            rows = self._rows(query, moment=moment, worker=worker and f"{worker}:")
            found.extend(row["after_s"] for row in rows if row["after_s"] is not None)
            return bool(found)

        wait_until(look, limit_s, "an attempt that began after the disturbance succeeds")
        return found[0]

    def longest_wait_s(self, task: str) -> float:
        """Return the longest time between acceptance and start of a task's jobs, in seconds."""
        query = "SELECT extract(epoch FROM max(started_at - created_at))::float8 AS wait_s FROM jobs WHERE task = %(task)s"
        return float(self._rows(query, task=task)[0]["wait_s"])

    def last_start(self, task_id: str) -> float:
        """Return when a finished job's last attempt began, in time.time()'s seconds."""
        query = "SELECT extract(epoch FROM started_at)::float8 AS at FROM jobs WHERE task_id = %(task_id)s"
        return float(self._rows(query, task_id=task_id)[0]["at"])

    def judge(self, accepted: Mapping[str, Submission], extra_executions_bound: int) -> Verdict:
        """Compare what was accepted with what was recorded and with what was executed."""
        rows = {row["task_id"]: row for row in self._rows(_JOBS, pause=self._shortest_pause)}
        lines = Counter(self._effects_log.read_text().splitlines())
        executions: Counter[str] = Counter()
        for line, count in lines.items():
            executions[line.split()[0]] += count
        lost = [task_id for task_id in accepted if task_id not in rows or executions[task_id] == 0]
        stray = [task_id for task_id in executions if task_id not in rows]
        wrong = [row for row in rows.values() if not _is_right(row, accepted.get(row["task_id"]))] + stray
        return Verdict(
            accepted=len(accepted),
            finished=sum(row["status"] == "SUCCESS" for task_id, row in rows.items() if task_id in accepted),
            lost=len(lost),
            stuck=self._count("live_jobs"),
            wrong=len(wrong),
            early=sum(_is_early(row, accepted.get(task_id)) for task_id, row in rows.items()),
            extra_executions=sum(executions[task_id] - _expected_executions(row["task"]) for task_id, row in rows.items()),
            extra_executions_bound=extra_executions_bound,
            duplicate_outcomes=sum(max(0, row["outcomes"] - 1) for row in rows.values()),
            repeated_attempts=sum(count > 1 for count in lines.values()),
        )

    def jobs_with_key(self) -> Counter[str]:
        """Return how many jobs each idempotency key has made."""
        query = "SELECT key FROM idempotency_keys JOIN jobs USING (task_id)"
        return Counter(row["key"] for row in self._rows(query))

    def _count(self, what: str) -> int:
        try:
            return int(self._rows(f"SELECT count(*) AS count FROM {what}")[0]["count"])
        except psycopg.OperationalError:
            return -1  # the database is away: nothing is known

    def _rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self._database_url, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), parameters or None).fetchall()

    def _execute(self, statements: str) -> None:
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            connection.execute(statements.encode())


def _is_right(row: dict[str, Any], submission: Submission | None) -> bool:
    """Tell whether a job has the one result that its number and task allow, after the attempts that they allow."""
    number = int(row["number"])
    if submission is not None and (submission.number, submission.task) != (number, row["task"]):
        return False
    attempts = Counter(row["attempts"])
    failures = _expected_executions(row["task"]) - 1
    return (
        (row["status"], row["result"]) == ("SUCCESS", str(number * number))
        and row["attempts"][-1] == "SUCCESS"
        and (attempts["SUCCESS"], attempts["FAILURE"]) == (1, failures)
    )


def _is_early(row: dict[str, Any], submission: Submission | None) -> bool:
    """Tell whether an attempt began before it was due, or the job was due before the client wanted it."""
    wanted_s = submission.delay_s if submission else 0.0
    return row["is_early"] is True or row["delay_s"] < wanted_s


def _expected_executions(task: str) -> int:
    return 2 if task == "effects.flaky" else 1
