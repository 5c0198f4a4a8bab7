"""Is every page of GET /jobs found by an index at a million rows, and how long does it take?

    DATABASE_URL=postgresql://... python -m benchmarks.experiments.list_plans [ROWS]

The database has the schema and is empty, or was filled by an earlier run: ROWS finished jobs and ROWS unfinished ones, of
which what is rare is old. Prints, for each filter, the plan and the time of the whole page, the median of seven. Exit
code 1 if a plan has a sequential scan.
"""

import asyncio
import statistics
import sys
import time
from typing import Any, Final

import psycopg

from api.pages import SNAPSHOT, PageReader, PageRequest
from api.store import BY_INDEX, Store
from core.database import connect
from core.settings import Settings, load_settings
from core.states import Status
from tests.many_jobs import FILTERS, fill

ROUNDS: Final = 7
LIMIT: Final = 50
SEQUENTIAL: Final = "Seq Scan on "


def main() -> int:
    """Fill the database if it is empty, and show everything."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    settings = load_settings()
    with connect(settings, "list_plans", statement_timeout_s=600) as connection:
        if not value(connection, "SELECT EXISTS (SELECT FROM jobs)"):
            fill(connection, rows, rows, analyze=True)
        print(f"{value(connection, 'SELECT count(*) FROM jobs'):,} jobs, ", end="")
        print(f"{value(connection, 'SELECT count(*) FROM live_jobs'):,} of them unfinished\n")
        for setting in BY_INDEX:
            connection.execute(f"SET {setting}".encode())
        return asyncio.run(show_all(settings, connection))


async def show_all(settings: Settings, connection: psycopg.Connection[Any]) -> int:
    """Print plans and times; return 1 if a plan is not by index."""
    store = Store(settings, "list_plans", (*BY_INDEX, *SNAPSHOT))
    reader = PageReader(store)
    is_wrong = False
    for name, values in FILTERS.items():
        status = Status(values["status"]) if "status" in values else None
        request = PageRequest(LIMIT, task=values.get("task"), status=status)
        query, parameters = reader.query_of(request)
        plan = [
            line for (line,) in connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}".encode(), parameters)
        ]
        is_wrong = is_wrong or any(SEQUENTIAL in line for line in plan)
        times_ms = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            page = await reader.read(request)
            times_ms.append(1000 * (time.perf_counter() - began))
        more = "and more" if page.next else "no more"
        print(
            f"## {name}: {len(page.rows)} jobs, {more}, {statistics.median(times_ms):.1f} ms (at most {max(times_ms):.1f})\n"
        )
        print("\n".join(f"    {line}" for line in plan if "Planning" not in line), end="\n\n")
    await store.close()
    return 1 if is_wrong else 0


def value(connection: psycopg.Connection[Any], query: str) -> Any:
    """Return the one value of a query."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    sys.exit(main())
