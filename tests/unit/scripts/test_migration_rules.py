"""A later revision of the schema holds nobody up, and code that does not know it goes on working."""

import re
from pathlib import Path

import pytest

from scripts.migration_rules import ROOT, VERSIONS, find_problems, later_revisions

REVISION = 'revision = "{0}"\noldest_code = "{1}"\n\n\ndef upgrade() -> None:\n    run_sql_file(__file__)\n'


def problems(directory: Path, sql: str, oldest_code: str = "0003", revision: str = "0004") -> list[str]:
    """Return what is wrong with a revision."""
    path = directory / f"{revision}_later.py"
    path.write_text(REVISION.format(revision, oldest_code))
    path.with_suffix(".sql").write_text(sql)
    return list(find_problems(path))


def test_example_on_the_page_keeps_the_rules(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "upgrade.md").read_text()
    found = re.search(r"```python\n# core/migrations/versions/(\w+\.py)\n(.+?)```", page, re.DOTALL)
    assert found
    path = tmp_path / found[1]
    path.write_text(found[2])
    path.with_suffix(".sql").write_text("ALTER TABLE jobs ADD COLUMN note text;")
    assert "`ALTER TABLE jobs ADD COLUMN note text;`" in page
    assert list(find_problems(path)) == []


def test_every_later_revision_keeps_the_rules() -> None:
    assert [problem for path in later_revisions(VERSIONS) for problem in find_problems(path)] == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE jobs ADD COLUMN note text;",
        "-- why; so\nALTER TABLE jobs\n    ADD COLUMN a text NOT NULL DEFAULT 'a;b',\n    ADD COLUMN n bigint DEFAULT 0;",
        "ALTER TABLE jobs ADD COLUMN tags text[] NOT NULL DEFAULT '{}'::text[];",
        "ALTER TABLE jobs ADD CONSTRAINT sane CHECK (due_at > '2000-01-01') NOT VALID",
        "ALTER TABLE jobs VALIDATE CONSTRAINT sane",
        "ALTER TABLE live_jobs SET (fillfactor = 40)",
        "CREATE INDEX CONCURRENTLY jobs_note ON jobs (note) WHERE note IS NOT NULL;",
        "DROP INDEX CONCURRENTLY IF EXISTS jobs_note",
        "CREATE TABLE notes (task_id uuid PRIMARY KEY, note text);\nCREATE INDEX notes_note ON notes (note);",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE jobs SET a = 1; RETURN NULL; END $$;",
    ],
)
def test_harmless_statement_is_allowed(tmp_path: Path, sql: str) -> None:
    assert problems(tmp_path, sql) == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX jobs_note ON jobs (note)",
        "CREATE INDEX CONCURRENTLY jobs_note ON jobs (note); ALTER TABLE jobs ADD COLUMN b text",
        "ALTER TABLE jobs ADD COLUMN note text NOT NULL",
        "ALTER TABLE jobs ADD COLUMN note uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE jobs ADD COLUMN note text UNIQUE",
        "ALTER TABLE jobs ADD COLUMN n integer GENERATED ALWAYS AS (1) STORED",
        "ALTER TABLE jobs ADD COLUMN note text, ALTER COLUMN attempts TYPE bigint",
        "ALTER TABLE jobs ALTER COLUMN attempts TYPE bigint",
        "ALTER TABLE jobs ALTER COLUMN attempts SET NOT NULL",
        "ALTER TABLE jobs ADD CONSTRAINT sane CHECK (attempts > 0)",
        "ALTER TABLE jobs RENAME COLUMN args TO arguments",
        "ALTER TABLE jobs ADD COLUMN a text; ALTER TABLE live_jobs ADD COLUMN a text",
        "UPDATE jobs SET note = ''",
        "DELETE FROM attempts",
        "CREATE TABLE notes AS SELECT task_id FROM jobs",
        "CREATE TABLE notes (task_id uuid REFERENCES jobs)",
        "LOCK TABLE jobs",
        "VACUUM FULL jobs",
        "ALTER TABLE jobs DROP COLUMN links",
        "DROP TABLE attempts",
        "DROP INDEX jobs_task",
    ],
)
def test_statement_that_holds_others_up_or_takes_from_them_is_refused(tmp_path: Path, sql: str) -> None:
    assert problems(tmp_path, sql)


def test_what_no_code_uses_any_more_may_be_dropped_a_release_later(tmp_path: Path) -> None:
    assert problems(tmp_path, "ALTER TABLE jobs ADD COLUMN note text") == []
    drop = "ALTER TABLE jobs DROP COLUMN links"
    assert problems(tmp_path, drop, oldest_code="0003", revision="0005")
    assert problems(tmp_path, drop, oldest_code="0004", revision="0005") == []


@pytest.mark.parametrize(
    "text",
    [
        'oldest_code = "0003"\n\n\ndef upgrade() -> None:\n    op.execute("UPDATE jobs")\n',
        "def upgrade() -> None:\n    run_sql_file(__file__)\n",
    ],
)
def test_revision_that_goes_around_the_rules_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "0004_later.py"
    path.write_text(text)
    path.with_suffix(".sql").write_text("")
    assert list(find_problems(path))
