"""What a job costs the database, counted and not timed: statements by part, commits, bytes of write-ahead log."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.measurements import CONNECTIONS
from benchmarks.stack import Stack

#: In front of each line of PostgreSQL's log: time, process, database, application.
LOG_LINE_PREFIX: Final = "%m [%p] %d|%a|"
#: PostgreSQL's sessions report their counts at most once a second.
REPORT_S: Final = 1.5

_STATEMENT: Final = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] (?P<database>[^|]*)\|(?P<application>[^|]*)\|LOG:  (?:statement|execute)"
)
#: How each part calls its connections; a worker's name ends in :PID:RANDOM.
_PARTS: Final = {
    "api": re.compile(r"^api\b"),
    "scheduler": re.compile(r"^scheduler\b"),
    "worker": re.compile(r":\d+:[0-9a-f]{6}$"),
}
_COUNTS: Final = """
SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class DatabaseWork:
    """Per job. Statements by part; commits and bytes of all parts together."""

    statements: Mapping[str, float]
    commits: float
    wal_bytes: float


def count_work(stack: Stack, log_path: Path, jobs: int) -> DatabaseWork:
    """Submit so many jobs to running workers, wait for their ends, and return what that cost."""
    stack.clear()
    with psycopg.connect(stack.contestant.engines.postgres_url, autocommit=True) as database, _all_logged(database):
        time.sleep(REPORT_S)
        logged_before = log_path.stat().st_size
        before = _counts(database)
        stack.send(CONNECTIONS, count=jobs)
        stack.wait_until_finished(jobs)
        with log_path.open(encoding="utf-8", errors="replace") as log:
            log.seek(logged_before)
            statements = statements_by_part(log, database.info.dbname)
        time.sleep(REPORT_S)
        after = _counts(database)
    commits, wal_bytes = (float(late) - float(early) for early, late in zip(before, after, strict=True))
    return DatabaseWork({part: count / jobs for part, count in statements.items()}, commits / jobs, wal_bytes / jobs)


def statements_by_part(lines: Iterable[str], database: str) -> Counter[str]:
    """Count the statements of each part in a log whose lines begin with LOG_LINE_PREFIX."""
    found: Counter[str] = Counter()
    for line in lines:
        match = _STATEMENT.match(line)
        if match is not None and match["database"] == database:
            found.update(part for part, name in _PARTS.items() if name.search(match["application"]))
    return found


@contextmanager
def _all_logged(database: psycopg.Connection[Any]) -> Iterator[None]:
    for setting in ("all", "none"):
        database.execute(f"ALTER SYSTEM SET log_statement = '{setting}'".encode())
        database.execute("SELECT pg_reload_conf()")
        if setting == "all":
            yield


def _counts(database: psycopg.Connection[Any]) -> tuple[Any, ...]:
    return tuple(database.execute(_COUNTS).fetchall()[0])
