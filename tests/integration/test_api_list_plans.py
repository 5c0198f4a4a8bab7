"""GET /jobs at 100,000 rows: by index, whatever the filter, also with plans that were made for empty tables.

`python -m benchmarks.experiments.list_plans` shows the plans and times at 1,000,000 rows.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from api.pages import SNAPSHOT, Page, PageReader, PageRequest
from api.store import BY_INDEX, Connection, Store
from core.states import Status
from tests.api_rig import make_settings
from tests.many_jobs import FILTERS, fill

ROWS = 100_000
LIMIT = 50
TABLES = ("jobs", "live_jobs", "finished_jobs")
#: One plan for all values from the first time on; PostgreSQL takes it when it looks good.
GENERIC = "plan_cache_mode=force_generic_plan"
#: Twice as often as a plan is made for the values at hand before one for all values may be kept.
PREPARATIONS = 10


def request_of(values: Mapping[str, str]) -> PageRequest:
    status = Status(values["status"]) if "status" in values else None
    return PageRequest(limit=LIMIT, task=values.get("task"), status=status)


class Observed:
    """A page reader, and what PostgreSQL counts while it reads."""

    def __init__(self, database_url: str, connection: psycopg.Connection[Any], *session: str) -> None:
        self._store = Store(make_settings(database_url), "list jobs", (*BY_INDEX, *SNAPSHOT, *session))
        self._reader = PageReader(self._store)
        self._connection = connection

    async def read(self, request: PageRequest) -> Page:
        return await self._reader.read(request)

    async def count(self, request: PageRequest) -> tuple[Page, int, int]:
        """Return the page, the number of sequential scans, and how many index entries and rows were read."""
        before = await self._counters()
        page = await self.read(request)
        after = await self._counters()
        scans, tuples = (now - then for now, then in zip(after, before, strict=True))
        return page, scans, tuples

    async def aclose(self) -> None:
        await self._store.close()

    async def _counters(self) -> tuple[int, int]:
        async def flush(connection: Connection) -> None:
            await connection.execute("SELECT pg_stat_force_next_flush()")

        await self._store.run(flush)
        # What has filled the tables read them whole, and says so within a second, or now.
        self._connection.execute("SELECT pg_stat_force_next_flush()")
        row = self._connection.execute(
            "SELECT sum(seq_scan), sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
            " + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = ANY (%(tables)s))"
            " FROM pg_stat_user_tables WHERE relname = ANY (%(tables)s)",
            {"tables": list(TABLES)},
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


@pytest.mark.parametrize("session", [(), (GENERIC,)], ids=["plans for the values", "plans for all values"])
@pytest.mark.parametrize("analyze", [False, True], ids=["made for empty tables", "made with statistics"])
def test_every_page_goes_by_index(
    database_url: str, monkeypatch: pytest.MonkeyPatch, analyze: bool, session: tuple[str, ...]
) -> None:
    monkeypatch.setattr("api.pages.WALK_S", 30.0)

    async def scenario(connection: psycopg.Connection[Any]) -> None:
        async with aclosing(Observed(database_url, connection, *session)) as observed:
            requests = {name: request_of(values) for name, values in FILTERS.items()}
            now = datetime.now(UTC)
            requests["times"] = PageRequest(LIMIT, created_after=now - timedelta(minutes=9), created_before=now)
            requests["times of an outcome"] = replace(requests["times"], status=Status.SUCCESS)
            for request in requests.values():
                for _ in range(PREPARATIONS):
                    assert await observed.read(request) == Page([], None)
            fill(connection, ROWS, ROWS, analyze=analyze)
            for name, request in requests.items():
                page, scans, tuples = await observed.count(request)
                assert scans == 0, name
                # a search among the unfinished passes all of them, at most, and each once in the table and in its index
                is_walk = request.status is not None and not request.status.is_finished
                assert tuples < (2.5 * ROWS if is_walk else 40 * LIMIT), name
                assert (page.next is not None) == (len(page.rows) == LIMIT), name

    with psycopg.connect(database_url, autocommit=True) as connection:
        asyncio.run(scenario(connection))


def test_pages_far_from_the_newest_cost_no_more(database_url: str) -> None:
    async def scenario(connection: psycopg.Connection[Any]) -> None:
        async with aclosing(Observed(database_url, connection)) as observed:
            fill(connection, ROWS, 10, analyze=True)
            row = connection.execute("SELECT task_id FROM jobs ORDER BY task_id OFFSET %s LIMIT 1", [1000]).fetchone()
            assert row is not None
            for name in ("all", "common task", "common outcome", "common outcome of a task"):
                page, scans, tuples = await observed.count(replace(request_of(FILTERS[name]), before=row[0]))
                assert (len(page.rows), scans) == (LIMIT, 0), name
                assert tuples < 40 * LIMIT, name

    with psycopg.connect(database_url, autocommit=True) as connection:
        asyncio.run(scenario(connection))


def test_task_that_no_job_has_is_not_looked_for_among_all_jobs(database_url: str) -> None:
    """Where all jobs are of one task, the primary key looks as good as the index on tasks."""

    async def scenario(connection: psycopg.Connection[Any]) -> None:
        async with aclosing(Observed(database_url, connection, GENERIC)) as observed:
            fill(connection, ROWS, 10, analyze=False)
            connection.execute("DELETE FROM jobs WHERE task <> 'tasks.add'")
            connection.execute("VACUUM (ANALYZE) jobs")
            for task in ("tasks.add", "tasks.none"):
                _, scans, tuples = await observed.count(PageRequest(LIMIT, task=task))
                assert scans == 0
                assert tuples < 40 * LIMIT

    with psycopg.connect(database_url, autocommit=True) as connection:
        asyncio.run(scenario(connection))


def test_no_index_knows_what_a_claim_or_an_outcome_changes(database_url: str) -> None:
    """An index on such a column, or one whose condition names it, would turn each of these updates into index writes."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = ANY ('{jobs,live_jobs}'::regclass[])"
        ).fetchall()
    changing = ("status", "publish_at", "token", "worker", "attempts", "started_at", "finished_at", "cancel_requested")
    for name, definition in rows:
        assert not [column for column in changing if column in definition], name
