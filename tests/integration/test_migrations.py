"""`python -m core.migrations` says what it has done."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg

from core.migrations import SCHEMA_REVISION

ROOT: Final = Path(__file__).resolve().parents[2]


def migrate(database_url: str) -> tuple[str, str]:
    """Run the program; return the one event that it logs, and its revision."""
    outcome = subprocess.run(
        [sys.executable, "-m", "core.migrations"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "BROKER_URL": "redis://localhost", "LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (line,) = outcome.stderr.splitlines()
    logged = json.loads(line)
    return logged["event"], logged["revision"]


def test_empty_database_is_upgraded(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    assert migrate(database_url) == ("schema.upgraded", SCHEMA_REVISION)


def test_database_with_the_newest_revision_is_current(database_url: str) -> None:
    assert migrate(database_url) == ("schema.current", SCHEMA_REVISION)
