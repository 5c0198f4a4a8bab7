"""The section Restore of docs/how-to/deploy-with-compose.md gives back what the backup holds, with owner and rights."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compose.project import Project
from tests.compose.test_documentation import BACK_UP, MOVE, RESTORE
from tests.engines import wait_until

NAP_S: Final = 10.0  # long enough for the backup to find it running
LIMIT_S: Final = 180.0

#: One line for each right, and one for what nobody has been given a right to.
RIGHTS: Final = """
WITH owned(kind, name, owner, acl) AS (
    SELECT 'database', datname, datdba, datacl FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'schema', nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'public'
    UNION ALL SELECT 'relation', relname, relowner, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'function', proname, proowner, proacl FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'default', defaclobjtype::text, defaclrole, defaclacl FROM pg_default_acl
)
SELECT kind, name, owner::regrole, grantee::regrole, privilege_type
FROM owned LEFT JOIN LATERAL aclexplode(acl) ON true
"""
CREATE_TABLE: Final = """
import psycopg
from core.settings import load_settings
with psycopg.connect(load_settings().database_url) as connection:
    connection.execute("CREATE TABLE later ()")
    connection.rollback()
print("created")
"""

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What shall be after a restore: the job that had finished at the backup, those that ran then and came later, rights."""

    kept: dict[str, Any]
    unfinished: str
    later: str
    rights: set[str]


@pytest.fixture
def expected(project: Project, tmp_path: Path) -> Expectation:
    """A backup in tmp_path, and one more job."""
    kept = project.client.finished(project.client.submit("upper_case", text="straße"), LIMIT_S)
    unfinished = project.client.submit("naps.take", seconds=NAP_S)
    wait_until(lambda: project.client.status(unfinished)["status"] == "STARTED", LIMIT_S, "the job runs")
    rights = rights_in(project)
    project.shell(BACK_UP, tmp_path)
    assert project.client.status(unfinished)["status"] == "STARTED"
    return Expectation(kept, unfinished, project.client.submit("add", x=2, y=3), rights)


def test_restore_gives_back_jobs_and_rights(
    project: Project, expected: Expectation, tmp_path: Path, figures: list[str]
) -> None:
    began = time.monotonic()
    for line in RESTORE:
        project.shell(line, tmp_path)
    figures.append(f"restored: healthy after {time.monotonic() - began:.1f} s")
    assert_is_back(project, expected)


def test_new_machine_gets_jobs_and_rights(
    project: Project, expected: Expectation, tmp_path: Path, figures: list[str]
) -> None:
    project.compose("down", "--volumes")
    began = time.monotonic()
    for line in MOVE:
        project.shell(line, tmp_path)
    figures.append(f"restored without any volume: healthy after {time.monotonic() - began:.1f} s")
    assert_is_back(project, expected)


def assert_is_back(project: Project, expected: Expectation) -> None:
    project.wait_until_healthy()
    assert rights_in(project) == expected.rights
    run = ("run", "--rm", "--no-deps", "--no-TTY")
    assert project.compose(*run, "migrations", "python", "-", text=CREATE_TABLE) == "created\n"
    assert project.client.job(expected.kept["task_id"]) == expected.kept
    assert project.client.get(f"/jobs/{expected.later}").status_code == 404
    attempts = project.client.finished(expected.unfinished, LIMIT_S)["attempt_log"]
    assert [attempt["outcome"] for attempt in attempts] == ["LOST", "SUCCESS"]
    assert "150 of 150 results are right" in project.compose(*run, "client")


def rights_in(project: Project) -> set[str]:
    printed = project.compose("exec", "--no-TTY", "postgres", "psql", "-At", "tasks", text=RIGHTS)
    rights = set(printed.splitlines())
    assert "database|tasks|migrations|part|CONNECT" in rights
    return rights
