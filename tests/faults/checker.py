"""What became of every job, by three witnesses that do not know each other: clients, database, and effects log."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from tests.engines import wait_until
from tests.faults.load import Submission

#: Every outcome that is ever written leaves a row here, also one that would write over another.
_RECORD_OUTCOMES: Final = """
CREATE TABLE outcomes (task_id uuid NOT NULL, status text, recorded_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION record_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outcomes (task_id, status) VALUES (NEW.task_id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER record_outcome AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION record_outcome();
"""

_JOBS: Final = """
SELECT task_id::text, task, status, result, args::json ->> 'number' AS number, finished_at,
    (SELECT array_agg(outcome ORDER BY series) FROM attempts a WHERE a.task_id = j.task_id) AS attempts,
    (SELECT count(*) FROM outcomes o WHERE o.task_id = j.task_id) AS outcomes
FROM jobs j
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one case."""

    accepted: int
    finished: int
    lost: int
    stuck: int
    wrong: int
    extra_executions: int
    extra_executions_bound: int
    duplicate_outcomes: int
    drain_s: float
    recovery_s: float

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, finished {self.finished}, lost {self.lost}, stuck {self.stuck}, "
            f"extra executions {self.extra_executions} (bound {self.extra_executions_bound}), "
            f"duplicate outcomes {self.duplicate_outcomes}, "
            f"drained in {self.drain_s:.1f} s, recovered in {self.recovery_s:.1f} s"
        )


class Checker:
    """Reads the database and the effects log of one stack. begin() empties both."""

    def __init__(self, database_url: str, effects_log: Path) -> None:
        self._database_url = database_url
        self._effects_log = effects_log
        self._execute(_RECORD_OUTCOMES)

    def begin(self) -> None:
        """Forget all earlier jobs. (Tables in the order in which the scheduler locks them, or we could deadlock.)"""
        self._execute("TRUNCATE live_jobs, jobs, attempts, finished_jobs, idempotency_keys, outcomes")
        self._effects_log.touch()
        os.truncate(self._effects_log, 0)

    def wait_finished(self, count: int, limit_s: float = 60.0) -> None:
        """Return when so many jobs have finished."""
        wait_until(lambda: self._count("outcomes") >= count, limit_s, f"{count} jobs finished")

    def wait_drained(self, limit_s: float) -> None:
        """Return when no job is unfinished. Raises TimeoutError that shows some of those that are."""
        try:
            wait_until(lambda: self._count("live_jobs") == 0, limit_s, "no job is left unfinished")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self._rows('SELECT * FROM live_jobs LIMIT 5')}") from None

    def recovery_s(self, moment: float, limit_s: float) -> float:
        """Return the seconds from the moment (of time.time()) to the first success of an attempt that began after it."""
        query = f"SELECT extract(epoch FROM min(ended_at))::float8 - {moment} AS after_s FROM attempts"
        query += f" WHERE outcome = 'SUCCESS' AND started_at > to_timestamp({moment})"
        found: list[float] = []

        def look() -> bool:
            found.extend(row["after_s"] for row in self._rows(query) if row["after_s"] is not None)
            return bool(found)

        wait_until(look, limit_s, "an attempt that began after the disturbance succeeds")
        return found[0]

    def judge(
        self, accepted: Mapping[str, Submission], extra_executions_bound: int, drain_s: float, recovery_s: float
    ) -> Verdict:
        """Compare what was accepted with what was recorded and with what was executed."""
        rows = {row["task_id"]: row for row in self._rows(_JOBS)}
        executions = Counter(line.split()[0] for line in self._effects_log.read_text().splitlines())
        lost = [task_id for task_id in accepted if task_id not in rows or executions[task_id] == 0]
        stray = [task_id for task_id in executions if task_id not in rows]
        wrong = [row for row in rows.values() if not _is_right(row, accepted.get(row["task_id"]))] + stray
        return Verdict(
            accepted=len(accepted),
            finished=sum(row["status"] == "SUCCESS" for task_id, row in rows.items() if task_id in accepted),
            lost=len(lost),
            stuck=self._count("live_jobs"),
            wrong=len(wrong),
            extra_executions=sum(executions[task_id] - _expected_executions(row["task"]) for task_id, row in rows.items()),
            extra_executions_bound=extra_executions_bound,
            duplicate_outcomes=sum(row["outcomes"] - 1 for row in rows.values()),
            drain_s=drain_s,
            recovery_s=recovery_s,
        )

    def repeated_attempts(self) -> list[str]:
        """Return the lines of the effects log that are there twice: an attempt that ran more than once."""
        counts = Counter(self._effects_log.read_text().splitlines())
        return [line for line, count in counts.items() if count > 1]

    def jobs_with_key(self) -> Counter[str]:
        """Return how many jobs each idempotency key has made."""
        query = "SELECT key FROM idempotency_keys JOIN jobs USING (task_id)"
        return Counter(row["key"] for row in self._rows(query))

    def _count(self, what: str) -> int:
        try:
            return int(self._rows(f"SELECT count(*) AS count FROM {what}")[0]["count"])
        except psycopg.OperationalError:
            return -1  # the database is away: nothing is known

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._database_url, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode()).fetchall()

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


def _expected_executions(task: str) -> int:
    return 2 if task == "effects.flaky" else 1
