"""Every error that this project raises on purpose.

    TaskServiceError
    ├── ConfigurationError        the start stops: the message says what to change
    │   └── TaskDefinitionError   a task that cannot be served, with its name and the way out
    ├── RequestError              what a client sent cannot be accepted (4xx)
    │   ├── MalformedError        400
    │   ├── NotFoundError         404
    │   ├── InvalidArgumentsError 422, names each field
    │   └── ...                   one class per status code that api.md lists
    ├── ResultError               a task returned what is not JSON, or too much
    └── StoreUnavailableError     the database is out of reach or full (503)

`code` is stable and machine-readable, `status` is the HTTP status it leads to, str(error) says what happened, the
offending name, and the next step. The api renders all of them as application/problem+json (RFC 9457) in one place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


class TaskServiceError(Exception):
    """The root: one `except` catches everything that is ours."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class ConfigurationError(TaskServiceError):
    """A setting or an installation is wrong; nothing was started."""

    code = "configuration"


class TaskDefinitionError(ConfigurationError):
    """A task cannot be served as it is written."""

    code = "task_definition"


class RequestError(TaskServiceError):
    """The client's request cannot be accepted."""

    code = "bad_request"
    status = 400

    headers: Mapping[str, str] = {}


class MalformedError(RequestError):
    """The body is not JSON that can be accepted."""

    code = "malformed"
    status = 400


class NotFoundError(RequestError):
    """No such route, task or job (or it is another owner's)."""

    code = "not_found"
    status = 404


class RequestTimeoutError(RequestError):
    """The request took too long to arrive."""

    code = "request_timeout"
    status = 408


class ConflictError(RequestError):
    """The job is in a state in which this cannot be done."""

    code = "conflict"
    status = 409


class TooLargeError(RequestError):
    """The body is larger than the limit."""

    code = "too_large"
    status = 413


class UnsupportedMediaTypeError(RequestError):
    """A body that is not application/json."""

    code = "unsupported_media_type"
    status = 415


class MisdirectedError(RequestError):
    """The Host header names a host that is not ours."""

    code = "misdirected"
    status = 421


@dataclass(frozen=True, slots=True)
class FieldError:
    """One offending place: `loc` is the path to it, as in ("body", "x")."""

    loc: tuple[str | int, ...]
    message: str
    type: str


class InvalidArgumentsError(RequestError):
    """Well-formed, but not what the task or the operation takes."""

    code = "invalid"
    status = 422

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class IdempotencyMismatchError(RequestError):
    """The same Idempotency-Key came with another request. `loc` is where the key stood."""

    code = "idempotency_mismatch"
    status = 422

    def __init__(self, message: str, loc: tuple[str | int, ...] = ("header", "Idempotency-Key")) -> None:
        super().__init__(message)
        self.loc = loc


class ResultError(TaskServiceError):
    """What a task returned cannot be recorded: the job is FAILURE with this reason, and is not retried."""

    code = "result"


class StoreUnavailableError(TaskServiceError):
    """The database did not answer in time, or cannot take more. Nothing was lost; try again."""

    code = "store_unavailable"
    status = 503


class BodiesFullError(TaskServiceError):
    """The large bodies that are arriving take all memory that there is for them."""

    code = "bodies_full"
    status = 503


class BacklogFullError(TaskServiceError):
    """More jobs wait than the backlog limit allows."""

    code = "backlog_full"
    status = 503
