"""The statement that ends one attempt and claims the next: each half as if alone, and it never waits for the next job."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.settings import Settings
from core.states import Status
from worker.attempt_store import AttemptStore, Wanted
from worker.connection import LazyConnection
from worker.outcome import Attempt, Succeeded

OUTCOME = Succeeded("5")


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(database_url: str) -> Iterator[AttemptStore]:
    settings = Settings(database_url=database_url, broker_url="redis://127.0.0.1:1/0")  # type: ignore[call-arg]
    connection = LazyConnection(settings, "w", statement_timeout_s=5.0)
    yield AttemptStore(connection, "w")
    connection.close()


def accept(admin: psycopg.Connection, expires_s: float | None = None) -> Wanted:
    job = NewJob(new_task_id(), "tasks.add", "default", '{"x": 2, "y": 3}', expires_s=expires_s)
    admin.execute(ACCEPT, accept_parameters([job]))
    return Wanted(job.task_id, 1, uuid4())


def begin(store: AttemptStore, wanted: Wanted) -> Attempt:
    assert store.claim(wanted) is not None
    return Attempt(wanted.task_id, wanted.token, "tasks.add")


def live_row(admin: psycopg.Connection, task_id: UUID) -> tuple[str, int, UUID | None] | None:
    return admin.execute("SELECT status, attempts, token FROM live_jobs WHERE task_id = %s", [task_id]).fetchone()


def test_outcome_is_written_and_the_next_job_is_claimed(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    status, claim = store.finish(attempt, OUTCOME, following)
    assert status is Status.SUCCESS
    assert claim is not None
    assert (claim.args, claim.attempt, claim.retries) == ('{"x": 2, "y": 3}', 1, 0)
    assert live_row(admin, attempt.task_id) is None
    assert live_row(admin, following.task_id) == ("STARTED", 1, following.token)


def test_claim_again_with_the_same_token_counts_once(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    store.finish(attempt, OUTCOME, following)
    claim = store.claim(following)  # as after the death of the process that had claimed ahead
    assert claim is not None
    assert claim.attempt == 1


def test_next_job_that_is_locked_is_left_alone(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    with admin.transaction():
        admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [following.task_id])
        assert store.finish(attempt, OUTCOME, following) == (Status.SUCCESS, None)
        # What waits for the finished one while it holds the next one, as the scheduler's marks do, goes on.
        admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [attempt.task_id])
    assert store.claim(following) is not None


def test_fenced_outcome_changes_nothing_and_the_next_job_is_claimed(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    status, claim = store.finish(replace(attempt, token=uuid4()), OUTCOME, following)
    assert status is None
    assert claim is not None
    assert live_row(admin, attempt.task_id) == ("STARTED", 1, attempt.token)


@pytest.mark.parametrize("reason", ["series", "runs elsewhere", "expired", "finished", "unknown"])
def test_next_job_that_is_not_ours_to_run_is_not_claimed(
    store: AttemptStore, admin: psycopg.Connection, reason: str
) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin, expires_s=0.001 if reason == "expired" else None)
    match reason:
        case "series":
            following = replace(following, series=2)
        case "runs elsewhere":
            begin(store, replace(following, token=uuid4()))
        case "finished":
            store.finish(begin(store, following), OUTCOME)
        case "unknown":
            following = replace(following, task_id=uuid4())
        case _:
            admin.execute("SELECT pg_sleep(0.01)")
    before = live_row(admin, following.task_id)
    assert store.finish(attempt, OUTCOME, following) == (Status.SUCCESS, None)
    assert live_row(admin, following.task_id) == before
    assert store.claim(following) is None


def test_job_that_is_its_own_next_is_finished_once(store: AttemptStore, admin: psycopg.Connection) -> None:
    wanted = accept(admin)
    attempt = begin(store, wanted)
    assert store.finish(attempt, OUTCOME, replace(wanted, token=uuid4())) == (Status.SUCCESS, None)
    assert live_row(admin, wanted.task_id) is None
