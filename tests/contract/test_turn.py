"""The statement that ends attempts and claims the next ones: each half as if alone, and it waits for nobody."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.settings import Settings
from core.states import Status
from tests.engines import wait_until
from worker.attempt_store import AttemptStore, Wanted
from worker.connection import LazyConnection
from worker.outcome import Attempt, Failed, Succeeded

OUTCOME = Succeeded("5")


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(database_url: str) -> Iterator[AttemptStore]:
    settings = Settings(database_url=database_url, broker_url="redis://127.0.0.1:1/0")
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
    statuses, claims = store.turn([(attempt, OUTCOME)], [following])
    assert statuses == {attempt.token: Status.SUCCESS}
    claim = claims[following.token]
    assert (claim.args, claim.attempt, claim.retries) == ('{"x": 2, "y": 3}', 1, 0)
    assert live_row(admin, attempt.task_id) is None
    assert live_row(admin, following.task_id) == ("STARTED", 1, following.token)


def test_several_outcomes_are_written_and_several_jobs_claimed(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempts = [begin(store, accept(admin)) for _ in range(3)]
    following = [accept(admin) for _ in range(4)]
    outcomes: list[Succeeded | Failed] = [
        Succeeded('"a \\\\ {b},\\""'),
        Failed('{"type":"E","message":"m"}', 'line 1\n"{}\\'),
        Succeeded("null"),
    ]
    statuses, claims = store.turn(list(zip(attempts, outcomes, strict=True)), following)
    assert [statuses[attempt.token] for attempt in attempts] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert set(claims) == {job.token for job in following}
    written = [
        admin.execute(
            "SELECT result, j.error, traceback FROM jobs j JOIN attempts USING (task_id) WHERE task_id = %s",
            [attempt.task_id],
        ).fetchone()
        for attempt in attempts
    ]
    assert written == [
        ('"a \\\\ {b},\\""', None, None),
        (None, '{"type":"E","message":"m"}', 'line 1\n"{}\\'),
        ("null", None, None),
    ]


def test_claim_again_with_the_same_token_counts_once(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    store.turn([(attempt, OUTCOME)], [following])
    claim = store.claim(following)  # as after the death of the process that had claimed ahead
    assert claim is not None
    assert claim.attempt == 1


def test_next_job_that_is_locked_is_left_alone(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, following = begin(store, accept(admin)), accept(admin)
    with admin.transaction():
        admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [following.task_id])
        assert store.turn([(attempt, OUTCOME)], [following]) == ({attempt.token: Status.SUCCESS}, {})
        # What waits for the finished one while it holds the next one, as the scheduler's marks do, goes on.
        admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [attempt.task_id])
    assert store.claim(following) is not None


def test_outcome_of_a_locked_job_is_written_when_it_is_free(store: AttemptStore, admin: psycopg.Connection) -> None:
    """Without holding another row meanwhile: who has this one may be waiting for that one."""
    locked, free = begin(store, accept(admin)), begin(store, accept(admin))
    with ThreadPoolExecutor() as threads:
        with admin.transaction():
            admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [locked.task_id])
            written = threads.submit(store.turn, [(free, OUTCOME), (locked, OUTCOME)])
            wait_until(lambda: waiting_backends(admin) == 1, 5.0, "the outcome waits for the locked row")
            admin.execute("UPDATE live_jobs SET published_at = now() WHERE task_id = %s", [free.task_id])
        assert written.result(5.0)[0] == {locked.token: Status.SUCCESS, free.token: Status.SUCCESS}


def test_job_that_was_lost_before_is_not_claimed_with_others(store: AttemptStore, admin: psycopg.Connection) -> None:
    attempt, lost = begin(store, accept(admin)), accept(admin)
    admin.execute("UPDATE live_jobs SET losses = 1 WHERE task_id = %s", [lost.task_id])
    assert store.turn([(attempt, OUTCOME)], [lost]) == ({attempt.token: Status.SUCCESS}, {})
    assert store.claim(lost) is not None


def test_fenced_outcome_changes_nothing_and_the_others_count(store: AttemptStore, admin: psycopg.Connection) -> None:
    fenced, attempt, following = begin(store, accept(admin)), begin(store, accept(admin)), accept(admin)
    statuses, claims = store.turn([(replace(fenced, token=uuid4()), OUTCOME), (attempt, OUTCOME)], [following])
    assert statuses == {attempt.token: Status.SUCCESS}
    assert set(claims) == {following.token}
    assert live_row(admin, fenced.task_id) == ("STARTED", 1, fenced.token)


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
    assert store.turn([(attempt, OUTCOME)], [following]) == ({attempt.token: Status.SUCCESS}, {})
    assert live_row(admin, following.task_id) == before
    assert store.claim(following) is None


def test_job_that_is_its_own_next_is_finished_once(store: AttemptStore, admin: psycopg.Connection) -> None:
    wanted = accept(admin)
    attempt = begin(store, wanted)
    again = replace(wanted, token=uuid4())
    assert store.turn([(attempt, OUTCOME)], [again]) == ({attempt.token: Status.SUCCESS}, {})
    assert live_row(admin, wanted.task_id) is None


def waiting_backends(admin: psycopg.Connection) -> int:
    row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    assert row is not None
    return int(row[0])
