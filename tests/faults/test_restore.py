"""After a restore of an older point the service goes on from there, and says what it dropped and what it published again."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.engines import wait_until
from tests.faults.backup import Backup
from tests.faults.faulty_stack import FaultyStack, drain_limit_s
from tests.faults.load import Submission, submit_in_batches
from tests.faults.report import Report
from tests.faults.sizes import size
from tests.stack import STOP_LIMIT_S

JOBS: Final = size(200, 4_000)

#: Submitted after the backup, and once more after the restore.
KEYED: Final = Submission(7, "effects.quick", 0.0, "restore-7")

PUBLISHED: Final = (
    "SELECT task_id::text FROM live_jobs WHERE publish_at IS NULL AND published_at IS NOT NULL AND status <> 'STARTED'"
)
STARTED: Final = "SELECT task_id::text FROM live_jobs WHERE status = 'STARTED'"

pytestmark = pytest.mark.timeout(120 + 3 * drain_limit_s(JOBS))


@dataclass(frozen=True, slots=True)
class Point:
    """What a database knows at one moment: when each job finished, what the broker should have, and what should run."""

    jobs: dict[str, datetime | None]
    published: set[str]
    started: set[str]


def test_restore_of_an_older_point_goes_on_from_there(faulty: FaultyStack, tmp_path: Path, report: Report) -> None:
    backup = Backup(faulty.database, faulty.stack.database_url, tmp_path / "dump")
    accepted = make_history(faulty, backup)
    lost_messages = faulty.messages_ready()
    backup.restore()
    then = look(faulty)
    gone = accepted.keys() - then.jobs.keys()
    assert (lost_messages > 0, len(gone) > 0, len(then.published) > 0) == (True, True, True)
    restored_at = time.time()
    faulty.stack.start()
    ready_s = time.time() - restored_at
    assert_goes_on(faulty, accepted, then, gone)
    said = what_was_said(faulty, restored_at)
    assert 0 < said["jobs.republished"] <= len(then.published)
    assert said["job.lost"] == len(then.started)
    assert said["job.dropped"] > 0
    report.add(
        "restore of an older point",
        faulty.broker.engine.name,
        known=len(then.jobs),
        gone=len(gone),
        republished=said["jobs.republished"],
        dropped=said["job.dropped"],
        lost_attempts=said["job.lost"],
        ready_after=f"{ready_s:.1f} s",
    )


def make_history(faulty: FaultyStack, backup: Backup) -> dict[str, Submission]:
    """Take the backup while most of a half waits, stop all parts after the other half; return what was accepted."""
    faulty.begin()
    accepted = submit_in_batches(faulty.stack.client, "before", JOBS // 2)
    faulty.checker.wait_finished(JOBS // 10)
    backup.take()
    accepted |= submit_in_batches(faulty.stack.client, "after", JOBS // 2)
    answer = faulty.stack.client.post("/effects.quick", {"number": KEYED.number}, {"Idempotency-Key": str(KEYED.key)})
    accepted[answer.json()["task_id"]] = KEYED
    faulty.checker.wait_finished(JOBS // 4)
    for part in faulty.stack.parts:
        part.ask_to_stop()
    for part in faulty.stack.parts:
        part.wait_until_stopped(STOP_LIMIT_S)
    return accepted


def look(faulty: FaultyStack) -> Point:
    with psycopg.connect(faulty.stack.database_url) as connection:
        return Point(
            dict(connection.execute("SELECT task_id::text, finished_at FROM jobs").fetchall()),
            {row[0] for row in connection.execute(PUBLISHED)},
            {row[0] for row in connection.execute(STARTED)},
        )


def assert_goes_on(faulty: FaultyStack, accepted: dict[str, Submission], then: Point, gone: set[str]) -> None:
    """See that what was known ends well, what had ended is as it was, what is gone is unknown, and what is new works."""
    client = faulty.stack.client
    answer = client.post("/effects.quick", {"number": KEYED.number}, {"Idempotency-Key": str(KEYED.key)})
    assert answer.status_code == 202
    assert answer.json()["task_id"] not in gone
    faulty.checker.wait_drained(drain_limit_s(JOBS))
    now = look(faulty)
    assert all(now.jobs.values())
    assert {task_id: now.jobs[task_id] for task_id, ended in then.jobs.items() if ended} == {
        task_id: ended for task_id, ended in then.jobs.items() if ended
    }
    assert now.jobs.keys() - then.jobs.keys() == {answer.json()["task_id"]}
    assert {client.get(f"/jobs/{task_id}").status_code for task_id in gone} == {404}
    for task_id in then.jobs:
        job = client.job(task_id)
        assert (job["status"], job["result"]) == ("SUCCESS", accepted[task_id].number ** 2)


def what_was_said(faulty: FaultyStack, since: float) -> Counter[str]:
    """Count the jobs that the parts have spoken of, by event, when the last of the messages is dropped."""

    def count() -> Counter[str]:
        lines = [line for part in faulty.stack.parts for line in faulty.stack.logged(part)]
        recent = [line for line in lines if datetime.fromisoformat(line["timestamp"]).timestamp() > since]
        found: Counter[str] = Counter()
        for line in recent:
            found[line["event"]] += line.get("count", 1)
        return found

    wait_until(lambda: faulty.messages_ready() == 0 and count()["job.dropped"], 10.0, "messages are dropped")
    return count()
