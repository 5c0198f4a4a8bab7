"""Which PostgreSQL driver claims and finishes a job fastest, and what does a claim gain by committing asynchronously?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.drivers [JOBS]

Needs: pip install psycopg2-binary asyncpg. Prints jobs/s and the client's processor seconds per 1,000 jobs,
with 1 and with 4 processes: medians of three alternating rounds.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from statistics import median
from typing import Any, Final
from uuid import UUID, uuid4

import uvloop

from benchmarks.experiments.processes import measure
from benchmarks.experiments.schema import NAME, SEARCH_PATH, connect, database_url
from worker.attempt_store import CLAIM, TURN, turn_parameters
from worker.connection import Statements
from worker.outcome import Attempt, Succeeded

ASYNCHRONOUS: Final = ", set_config('synchronous_commit', 'off', true)"
TYPES: Final = {"task_id": "uuid", "token": "uuid", "series": "integer"}  # all others are text

Parameters = dict[str, Any]
Execute = Callable[[str, Parameters], Sequence[Any]]


def psycopg_3() -> Execute:
    cursor = connect().cursor()

    def execute(sql: str, parameters: Parameters) -> Sequence[Any]:
        cursor.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else [None] * cursor.rowcount

    return execute


def libpq() -> Execute:
    """What the worker does."""
    return Statements(connect()).execute


def psycopg_2() -> Execute:
    """psycopg2 prepares nothing by itself: without PREPARE it is much slower."""
    import psycopg2  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import psycopg2.extras  # type: ignore[import-untyped,import-not-found,unused-ignore]

    connection = psycopg2.connect(database_url(), options=SEARCH_PATH)
    connection.autocommit = True
    psycopg2.extras.register_uuid()
    cursor = connection.cursor()
    prepared: dict[str, str] = {}

    def prepare(sql: str) -> str:
        text, names = positional(sql)
        types = ", ".join(TYPES.get(name, "text") for name in names)
        cursor.execute(f"PREPARE s{len(prepared)} ({types}) AS {text}")
        return f"EXECUTE s{len(prepared)} ({', '.join(f'%({name})s' for name in names)})"

    def execute(sql: str, parameters: Parameters) -> Sequence[Any]:
        if sql not in prepared:
            prepared[sql] = prepare(sql)
        cursor.execute(prepared[sql], parameters)
        return cursor.fetchall() if cursor.description else [None] * cursor.rowcount

    return execute


def asyncpg() -> Execute:
    """As a synchronous pool process would have to call it."""
    import asyncpg as driver  # type: ignore[import-untyped,import-not-found,unused-ignore]

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    connection = loop.run_until_complete(driver.connect(database_url(), server_settings={"search_path": NAME}))
    prepared: dict[str, tuple[Any, list[str]]] = {}

    def execute(sql: str, parameters: Parameters) -> Sequence[Any]:
        if sql not in prepared:
            text, names = positional(sql)
            prepared[sql] = loop.run_until_complete(connection.prepare(text)), names
        statement, names = prepared[sql]
        rows = loop.run_until_complete(statement.fetch(*(parameters[name] for name in names)))
        return list(rows) or [None] * int(statement.get_statusmsg().split()[-1])

    return execute


def positional(sql: str) -> tuple[str, list[str]]:
    """Turn %(name)s into $1::type."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}::{TYPES.get(name, 'text')}"

    return re.sub(r"%\((\w+)\)s", number, sql), names


def prepare(make: Callable[[], Execute], claim: str, task_ids: Sequence[UUID]) -> Callable[[], None]:
    """Return what claims and finishes each job."""
    execute = make()

    def work() -> None:
        for task_id in task_ids:
            identity: dict[str, Any] = {"task_id": task_id, "token": uuid4(), "worker": "experiment"}
            assert len(execute(claim, identity | {"series": 1})) == 1
            ended = turn_parameters([(Attempt(task_id, identity["token"], "tasks.add"), Succeeded("5"))])
            assert len(execute(TURN, ended | {"worker": "experiment"})) == 1

    return work


def main(count: int) -> None:
    """Print one line per case."""
    synchronous = CLAIM.replace(ASYNCHRONOUS, "")
    assert synchronous != CLAIM
    cases = [
        *product((psycopg_3, libpq, psycopg_2, asyncpg), ((CLAIM, "asynchronous"),), (1, 4)),
        *product((psycopg_3,), ((synchronous, "synchronous"),), (1, 4)),
    ]
    rounds = [
        [measure(partial(prepare, make, claim), processes, count) for make, (claim, _), processes in cases] for _ in range(3)
    ]
    for (make, (_, commit), processes), figures in zip(cases, zip(*rounds, strict=True), strict=True):
        rate, cpu_s = (median(values) for values in zip(*figures, strict=True))
        print(
            f"{make.__name__:10} claim {commit:12} {processes} processes: {rate:6,.0f} jobs/s, {cpu_s:.3f} s CPU per 1,000"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
