"""How an attempt ended, as values: what the recorder matches on."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.utils.serialization import UnpickleableExceptionWrapper

from core.strict_json import dumps

MESSAGE_LIMIT: Final = 8_000
TRACEBACK_LIMIT: Final = 64_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job; the token is its right to write the outcome."""

    task_id: UUID
    token: UUID
    task: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function returned; `result` is JSON text."""

    result: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The function raised, or its result cannot be stored: no further attempt."""

    error: str
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class RetryWanted:
    """The attempt failed and the job shall run again after delay_s; None: as the retry policy says."""

    error: str
    traceback: str | None = None
    delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Killed:
    """A hard limit, of time or of memory, ended the attempt's process; `error` says which."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt's process vanished: killed, out of memory, crashed."""

    reason: str


Outcome = Succeeded | Failed | RetryWanted | Killed | Lost


def error_json(type_name: str, message: str) -> str:
    """Return the JSON object that is stored for an error, cut to MESSAGE_LIMIT characters, always storable."""
    return dumps({"type": type_name, "message": storable_text(message, MESSAGE_LIMIT)})


def exception_json(error: BaseException | None) -> str | None:
    """Return error_json of an exception, or None for None."""
    if error is None:
        return None
    if isinstance(error, UnpickleableExceptionWrapper):
        return error_json(error.exc_cls_name, str(error))
    try:
        message = _message(error)
    except Exception as broken:  # noqa: BLE001  # a task's exception class may be anything
        message = f"<{type(error).__name__}.__str__ raised {type(broken).__name__}>"
    return error_json(type(error).__name__, message)


def _message(error: BaseException) -> str:
    match error:
        case SoftTimeLimitExceeded(args=(int() | float() as limit_s,)):
            return f"the attempt ran longer than its soft time limit of {limit_s:g} s"
        case TimeLimitExceeded(args=(int() | float() as limit_s,)):
            return f"the attempt ran longer than its time limit of {limit_s:g} s and was killed"
        case _:
            return str(error)


def storable_text(text: str, limit: int) -> str:
    """Return text without what PostgreSQL or JSON cannot hold (NUL, lone surrogates), its middle cut if it is too long."""
    clean = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    if len(clean) <= limit:
        return clean
    return f"{clean[: limit // 2]}\n... {len(clean) - limit} characters left out ...\n{clean[-limit // 2 :]}"
