"""The words for where a job stands and how an attempt ended. docs/state_machine.md draws them."""

from enum import StrEnum


class Status(StrEnum):
    """A job's status, in Celery's own words."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"

    @property
    def is_finished(self) -> bool:
        """A finished job never changes again."""
        return self in (Status.SUCCESS, Status.FAILURE, Status.REVOKED)


class AttemptOutcome(StrEnum):
    """How one attempt ended, as its row in `attempts` says."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    LOST = "LOST"
    HANDED_BACK = "HANDED_BACK"
    REVOKED = "REVOKED"
