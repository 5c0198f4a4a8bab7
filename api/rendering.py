"""Response bodies as bytes, put together by hand: arguments and results are JSON text that goes out to the letter.

To parse and to write them again would change them: 1e16, -0.0, integers of a thousand digits.
"""

from collections.abc import Iterable
from datetime import datetime
from json.encoder import encode_basestring_ascii as quote
from typing import Final
from uuid import UUID

from api.reading import Attempt, JobRecord, ListedRow, StatusRow

_NULL: Final = "null"


def render_accepted(task_id: str) -> bytes:
    """Return the body of 202: as it was at the acceptance, also when it is replayed."""
    return f'{{"task_id":"{task_id}","status":"PENDING"}}'.encode()


def render_batch(task_ids: Iterable[UUID]) -> bytes:
    """Return the body of 202 of a batch."""
    return ('{"task_ids":["' + '","'.join(map(str, task_ids)) + '"]}').encode()


def render_cancelling(task_id: str) -> bytes:
    """Return the body of 202 when a running job is asked to stop."""
    return f'{{"task_id":"{task_id}","status":"STARTED","cancel_requested":true}}'.encode()


def render_page(rows: Iterable[ListedRow], cursor: str | None) -> bytes:
    """Return the body of GET /jobs."""
    jobs = ",".join(f'{{{_status_members(row.status)},"result_omitted":{_boolean(row.is_omitted)}}}' for row in rows)
    return f'{{"jobs":[{jobs}],"next":{_text(cursor)}}}'.encode()


def render_status(row: StatusRow) -> bytes:
    """Return the body of GET /status/{task_id}."""
    return f"{{{_status_members(row)}}}".encode()


def render_job(job: JobRecord) -> bytes:
    """Return the body of GET /jobs/{task_id}."""
    attempts = ",".join(map(_attempt, job.attempts))
    return (
        f'{{{_status_members(job.status)},"args":{job.args},"owner":{quote(job.status.owner)},"queue":{quote(job.queue)},'
        f'"priority":{job.priority},"parent_id":{_uuid(job.parent_id)},"retry_of":{_uuid(job.retry_of)},"attempt_log":[{attempts}]}}'
    ).encode()


def _status_members(row: StatusRow) -> str:
    return (
        f'"task_id":"{row.task_id}","task":{quote(row.task)},"status":"{row.status}","result":{row.result or _NULL},'
        f'"error":{row.error or _NULL},"attempts":{row.attempts or 0},"max_attempts":{_integer(row.max_attempts)},'
        f'"progress":{row.progress or _NULL},"created_at":{_time(row.created_at)},"due_at":{_time(row.due_at)},'
        f'"started_at":{_time(row.started_at)},"finished_at":{_time(row.finished_at)}'
    )


def _attempt(attempt: Attempt) -> str:
    return (
        f'{{"number":{attempt.number},"worker":{quote(attempt.worker)},"started_at":{_time(attempt.started_at)},'
        f'"ended_at":{_time(attempt.ended_at)},"outcome":{_text(attempt.outcome)},"error":{attempt.error or _NULL},'
        f'"traceback":{_text(attempt.traceback)}}}'
    )


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _integer(value: int | None) -> str:
    return _NULL if value is None else str(value)


def _text(value: str | None) -> str:
    return _NULL if value is None else quote(value)


def _uuid(value: UUID | None) -> str:
    return _NULL if value is None else f'"{value}"'


def _time(value: datetime | None) -> str:
    """Return RFC 3339 in UTC. Connections are set to UTC, so the offset is always +00:00."""
    return _NULL if value is None else f'"{value.isoformat(timespec="microseconds").removesuffix("+00:00")}Z"'
