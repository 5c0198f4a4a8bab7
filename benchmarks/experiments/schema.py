"""A throw-away copy of the tables with waiting jobs, in a schema of its own, for the experiments."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id

NAME: Final = "experiment"
VERSIONS: Final = Path(__file__).parents[2] / "core/migrations/versions"
TABLES: Final = "\n".join(path.read_text() for path in sorted(VERSIONS.glob("*.sql")))
#: As libpq takes it in `options`; also in a URL, where the drivers under test read it.
SEARCH_PATH: Final = f"-c search_path={NAME}"


def database_url() -> str:
    """Return the database to use, from the environment."""
    return os.environ["DATABASE_URL"]


def connect() -> psycopg.Connection[Any]:
    """Connect so that the experiment's tables are meant, as core.database does otherwise."""
    return psycopg.connect(database_url(), autocommit=True, prepare_threshold=1, options=SEARCH_PATH)


@contextmanager
def fresh_tables(sql: str = TABLES) -> Iterator[psycopg.Connection[Any]]:
    """Make the tables anew and drop them in the end."""
    with connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {NAME} CASCADE")
        connection.execute(f"CREATE SCHEMA {NAME}")
        try:
            connection.execute(sql.encode())
            yield connection
        finally:
            connection.execute(f"DROP SCHEMA {NAME} CASCADE")


def accept(connection: psycopg.Connection[Any], count: int, batch: int = 30) -> list[UUID]:
    """Accept jobs, `batch` per commit as the api does under load, and return their ids."""
    jobs = [NewJob(new_task_id(), "tasks.add", "default", '{"x": 2, "y": 3}') for _ in range(count)]
    for start in range(0, count, batch):
        connection.execute(ACCEPT, accept_parameters(jobs[start : start + batch]))
    return [job.task_id for job in jobs]
