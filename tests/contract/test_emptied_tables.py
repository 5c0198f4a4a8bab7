"""Statements go by key, whatever the statistics say.

The tables grow from nothing to a million rows faster than statistics do, and a vacuum after a drain says: many pages, no
rows. A plan made then may read the whole table instead of one row, and a batch of n jobs n times as many.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from core.database import connect
from core.settings import Settings
from scheduler import due_jobs
from scheduler.brokers.publisher import DueJob
from scheduler.expiry import revoke_expired
from tests.engines import wait_until
from tests.many_jobs import fill
from worker.attempt_store import LOSE, AttemptStore, Wanted
from worker.connection import LazyConnection
from worker.outcome import Attempt, Succeeded

GROWN = 5_000
FEW = 8
OUTCOME = Succeeded("5")
#: So that a statement is prepared, and its plan made.
TWICE = 2

Session = psycopg.Connection[TupleRow]


@pytest.fixture
def admin(database_url: str) -> Iterator[Session]:
    """A connection to tables that had rows, and that were vacuumed when they had none left."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        fill(connection, finished=0, unfinished=1_000, analyze=False)
        empty(connection)
        connection.execute("VACUUM (TRUNCATE false, ANALYZE) jobs, live_jobs")
        yield connection


def empty(connection: Session) -> None:
    connection.execute("DELETE FROM live_jobs")
    connection.execute("DELETE FROM jobs")


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, broker_url="redis://127.0.0.1:1/0")


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    """A scheduler's."""
    with connect(settings, "scheduler") as connection:
        yield connection


@pytest.fixture
def relay(session: Session) -> Session:
    for statement in due_jobs.SESSION:
        session.execute(statement)
    return session


def accept(admin: Session) -> list[UUID]:
    """Accept a few jobs, in a queue of their own."""
    jobs = [NewJob(new_task_id(), "tasks.add", "few", '{"x": 2, "y": 3}') for _ in range(FEW)]
    admin.execute(ACCEPT, accept_parameters(jobs))
    return [job.task_id for job in jobs]


def rows_visited(admin: Session) -> int:
    """Of both tables, as far as the sessions that have ended have reported it."""
    query = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE relname IN ('jobs', 'live_jobs')"
    row = admin.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def assert_few_visited(admin: Session, connection: Session | LazyConnection, work: Callable[[], None]) -> None:
    """Do the work, and end its session, so that it reports."""
    admin.execute("SELECT pg_stat_force_next_flush()")
    before = rows_visited(admin)
    work()
    connection.close()
    wait_until(lambda: rows_visited(admin) > before, 5.0, "the statistics to be written")
    assert rows_visited(admin) - before < GROWN


def test_ends_and_claims_of_a_worker(admin: Session, settings: Settings) -> None:
    connection = LazyConnection(settings, "w", statement_timeout_s=5.0)
    store = AttemptStore(connection, "w")
    store.turn([(Attempt(uuid4(), uuid4(), "tasks.add"), OUTCOME)], [Wanted(uuid4(), 1, uuid4())])
    fill(admin, finished=0, unfinished=GROWN, analyze=False)
    wanted = [Wanted(task_id, 1, uuid4()) for task_id in accept(admin)]

    def turn() -> None:
        _, claims = store.turn([], wanted)
        outcomes = [(Attempt(job.task_id, job.token, "tasks.add"), OUTCOME) for job in wanted]
        statuses, _ = store.turn(outcomes)
        assert len(claims) == len(statuses) == FEW

    assert_few_visited(admin, connection, turn)


@pytest.mark.parametrize("end", [due_jobs.mark, due_jobs.release], ids=["mark", "release"])
def test_batches_of_the_relay(
    admin: Session, relay: Session, end: Callable[[Session, datetime, Sequence[DueJob]], None]
) -> None:

    def publish() -> None:
        batch = due_jobs.take(relay, "few", FEW)
        assert batch is not None
        assert len(batch.jobs) == FEW
        end(relay, batch.lease, batch.jobs)

    for _ in range(TWICE):
        accept(admin)
        publish()
        empty(admin)
    fill(admin, finished=0, unfinished=GROWN, analyze=False)
    accept(admin)
    assert_few_visited(admin, relay, publish)


def test_promotion_of_delayed_jobs(admin: Session, relay: Session) -> None:
    for _ in range(TWICE):
        due_jobs.promote(relay, FEW)
    fill(admin, finished=0, unfinished=GROWN, analyze=False)
    task_ids = accept(admin)
    admin.execute("UPDATE live_jobs SET delayed_until = now() WHERE task_id = ANY (%s)", [task_ids])

    def promote() -> None:
        assert due_jobs.promote(relay, FEW) == FEW

    assert_few_visited(admin, relay, promote)


def test_expiry(admin: Session, session: Session) -> None:
    for _ in range(TWICE):
        revoke_expired(session)
    fill(admin, finished=0, unfinished=GROWN, analyze=False)
    task_ids = accept(admin)
    admin.execute("UPDATE live_jobs SET expires_at = now() WHERE task_id = ANY (%s)", [task_ids])

    def expire() -> None:
        assert revoke_expired(session) == FEW

    assert_few_visited(admin, session, expire)


def test_loss_of_attempts(admin: Session, session: Session) -> None:
    token = uuid4()
    loss = {"tokens": [token] * FEW, "error": "{}", "max_losses": 3}
    for _ in range(TWICE):
        session.execute(LOSE, {**loss, "task_ids": [uuid4() for _ in range(FEW)]})
    fill(admin, finished=0, unfinished=GROWN, analyze=False)
    task_ids = accept(admin)
    start = "UPDATE live_jobs SET status = 'STARTED', token = %s, worker = 'w', started_at = now() WHERE task_id = ANY (%s)"
    admin.execute(start, [token, task_ids])

    def lose() -> None:
        assert len(session.execute(LOSE, {**loss, "task_ids": task_ids}).fetchall()) == FEW

    assert_few_visited(admin, session, lose)
