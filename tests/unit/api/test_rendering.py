"""api.rendering: bodies agree with their documentation, and JSON text goes through to the letter."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from api.reading import Attempt, JobRecord, StatusRow
from api.rendering import render_accepted, render_job, render_status
from api.schemas import AcceptedJob, JobDetail, JobStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_row(**values: Any) -> StatusRow:
    row = StatusRow(uuid4(), "tasks.add", "local", "SUCCESS", "5", None, 1, 6, None, NOW, NOW, NOW, NOW)
    return row._replace(**values)


def test_accepted_job_is_as_documented() -> None:
    assert AcceptedJob.model_validate_json(render_accepted(str(uuid4()))).status == "PENDING"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"status": "PENDING", "result": None, "attempts": 0, "started_at": None, "finished_at": None},
        {"max_attempts": None, "progress": '{"done": 1, "total": 2}'},
        {"status": "FAILURE", "result": None, "error": '{"type": "E", "message": "\\"\\u20ac"}'},
        {"task": 'a"b\\\n\u20ac'},
    ],
    ids=["success", "pending", "progress", "failure", "name"],
)
def test_status_is_as_documented(values: dict[str, Any]) -> None:
    row = make_row(**values)
    status = JobStatus.model_validate_json(render_status(row))
    assert (status.task_id, status.task, status.status) == (row.task_id, row.task, row.status)
    assert (status.attempts, status.max_attempts, status.created_at) == (row.attempts, row.max_attempts, NOW)


def test_members_come_in_the_order_of_the_documentation() -> None:
    assert list(json.loads(render_status(make_row()))) == list(JobStatus.model_fields)


def test_job_is_as_documented() -> None:
    attempts = (
        Attempt(1, 'w"1', NOW, NOW, "LOST", '{"type": "E", "message": ""}', "a\nb"),
        Attempt(2, "w", NOW, None, None, None, None),
    )
    parent = uuid4()
    job = JobDetail.model_validate_json(render_job(JobRecord(make_row(), '{"x": 1}', "default", 3, parent, None, attempts)))
    assert (job.args, job.parent_id, job.retry_of) == ({"x": 1}, parent, None)
    assert [(attempt.number, attempt.worker, attempt.traceback) for attempt in job.attempt_log] == [
        (1, 'w"1', "a\nb"),
        (2, "w", None),
    ]


def test_times_are_rfc_3339_in_utc() -> None:
    assert json.loads(render_status(make_row()))["created_at"] == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize("text", ["0", '""', "false", "[]", "null", "1e16", "-0.0", "1.10", "9" * 1000])
def test_result_goes_through_to_the_letter(text: str) -> None:
    assert f'"result":{text},"error"'.encode() in render_status(make_row(result=text))
