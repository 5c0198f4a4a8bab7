"""The shapes of responses, for the documentation. Bodies are put together in api/rendering.py; tests hold both together."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """Exactly these members."""

    model_config = ConfigDict(extra="forbid")


class AcceptedJob(Schema):
    """A job that is committed and will run."""

    task_id: UUID
    status: Literal["PENDING"]


class AcceptedBatch(Schema):
    """Jobs that are committed and will run, in the order of the batch."""

    task_ids: list[UUID]


class CancelledSoon(Schema):
    """A running job that is asked to stop: interrupted within a second, killed 10 s later, and then REVOKED."""

    task_id: UUID
    status: Literal["STARTED"]
    cancel_requested: Literal[True]


class JobError(Schema):
    """Why an attempt failed."""

    type: str = Field(examples=["ValueError"])
    message: str


class Progress(Schema):
    """How far a running task says it is."""

    done: int | float
    total: int | float | None


class JobStatus(Schema):
    """Where a job stands. A failed job is data, not an error of the request."""

    task_id: UUID
    task: str = Field(examples=["tasks.add"])
    status: Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"] = Field(examples=["SUCCESS"])
    result: Any = Field(description="The task's return value; null until SUCCESS", examples=[5])
    error: JobError | None = Field(description="Of the last failed attempt", examples=[None])
    attempts: int = Field(ge=0, description="Attempts begun", examples=[1])
    max_attempts: int | None = Field(description="Attempts at most; null: retried for ever", examples=[6])
    progress: Progress | None = Field(examples=[None])
    created_at: datetime
    due_at: datetime = Field(description="Not started before; in RETRY, when the next attempt is due")
    started_at: datetime | None = Field(description="Start of the last attempt")
    finished_at: datetime | None


class AttemptRecord(Schema):
    """One try of a job; ended_at and outcome are null while it runs."""

    number: int = Field(ge=1, description="An attempt that was handed back does not count")
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["SUCCESS", "FAILURE", "LOST", "HANDED_BACK", "REVOKED"] | None
    error: JobError | None
    traceback: str | None


class JobDetail(JobStatus):
    """A job with its arguments and its history."""

    args: dict[str, Any]
    owner: str
    queue: str
    priority: int = Field(ge=0, le=9)
    parent_id: UUID | None = Field(description="The job that made this one")
    retry_of: UUID | None = Field(description="The finished job that this one repeats")
    attempt_log: list[AttemptRecord]


class ListedJob(JobStatus):
    """Where a job stands; a long result is only in GET /status/{task_id}."""

    result_omitted: bool = Field(description="There is a result of more than 4,096 bytes; `result` is null here")


class JobPage(Schema):
    """Jobs, newest first."""

    jobs: list[ListedJob]
    next: str | None = Field(
        description="`cursor` of the next page, with the same filters; null: this is the last one. A page of unfinished jobs"
        " may be short, even empty, and yet have a next one"
    )


class RetryPolicy(Schema):
    """When a failed attempt is followed by another one."""

    exceptions: list[str] = Field(description="Retried after these; besides, a task may ask for a retry itself")
    not_exceptions: list[str] = Field(description="Not after these")
    delay_s: float | None = Field(description="Wait before each retry; null: exponential backoff")
    backoff_base_s: float | None = Field(description="Longest wait before the first retry; it doubles with each")
    backoff_cap_s: float | None = Field(description="Longest wait before any retry")


class TaskDetail(Schema):
    """What can run, and what it takes."""

    name: str = Field(description="Celery's name", examples=["tasks.add"])
    route: str = Field(description="POST /{route} submits a job", examples=["add"])
    doc: str
    queue: str
    priority: int = Field(ge=0, le=9, description="Of jobs that name none")
    max_attempts: int | None = Field(description="Attempts at most; null: retried for ever")
    retry: RetryPolicy
    soft_time_limit_s: float | None = Field(description="An attempt is interrupted after this time; null: never")
    time_limit_s: float | None = Field(description="An attempt's process is killed after this time; null: never")
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of the arguments")


class TaskCatalogue(Schema):
    """All that can run, sorted by name."""

    tasks: list[TaskDetail]


class Alive(Schema):
    """The process answers."""

    status: Literal["alive"]


class Check(Schema):
    """One condition."""

    ok: bool
    detail: str


class Checks(Schema):
    """What the system needs to accept and to run jobs."""

    database: Check
    schema_: Check = Field(alias="schema")
    scheduler: Check
    workers: Check


class Ready(Schema):
    """Jobs are accepted and run."""

    status: Literal["ready"]
    checks: Checks


class FieldProblem(Schema):
    """One offending place."""

    loc: list[str | int] = Field(examples=[["body", "x"]])
    message: str
    type: str


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable; program by it."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    code: str = Field(examples=["invalid"])
    instance: str
    errors: list[FieldProblem] | None = Field(default=None, description="With 422: what is wrong where")
    checks: Checks | None = Field(default=None, description="With 503 of /readyz: what is missing")
