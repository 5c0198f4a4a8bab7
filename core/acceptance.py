"""Accepting jobs: the values of one accepted request, and the parameters of the statement that stores many at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from core.queries import load_query

ACCEPT: Final = load_query("core", "accept")

#: Who owns a job as long as there are no accounts.
LOCAL_OWNER: Final = "local"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to accept. `args` is a JSON object as text; `eta` wins over `delay_s`.

    delay_s and expires_s count from the acceptance, by the database's clock. A job that was not started for the first time
    by its expiry is revoked.
    """

    task_id: UUID
    task: str
    queue: str
    args: str
    owner: str = LOCAL_OWNER
    priority: int = 0
    links: str | None = None
    parent_id: UUID | None = None
    retry_of: UUID | None = None
    max_attempts: int | None = 6
    delay_s: float = 0.0
    eta: datetime | None = None
    expires_s: float | None = None


def new_task_id() -> UUID:
    """Return a UUIDv7 (RFC 9562): later ids of one process sort after earlier ones."""
    return uuid7()


def accept_parameters(jobs: Iterable[NewJob]) -> dict[str, list[Any]]:
    """Return the parameters of ACCEPT, rows sorted by task_id so that concurrent statements cannot deadlock."""
    rows = sorted(jobs, key=attrgetter("task_id"))
    return {
        "task_ids": [job.task_id for job in rows],
        "tasks": [job.task for job in rows],
        "owners": [job.owner for job in rows],
        "queues": [job.queue for job in rows],
        "priorities": [job.priority for job in rows],
        "args": [job.args for job in rows],
        "links": [job.links for job in rows],
        "parent_ids": [job.parent_id for job in rows],
        "retries_of": [job.retry_of for job in rows],
        "max_attempts": [job.max_attempts for job in rows],
        "delays_s": [job.delay_s for job in rows],
        "etas": [job.eta for job in rows],
        "expiries_s": [job.expires_s for job in rows],
    }
