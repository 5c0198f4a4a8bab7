"""Check that later revisions of the schema can be applied beside running parts: `python -m scripts.migration_rules`.

A statement is allowed if it neither reads nor writes all rows of a table in use, and if code that does not know of it
works on. What is not listed is refused. docs/how-to/upgrade.md says how to write what is refused.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VERSIONS: Final = ROOT / "core" / "migrations" / "versions"
#: The first release's, which nobody has applied beside running parts.
FIRST_RELEASE: Final = ("0001", "0002", "0003")

#: A string, a quoted name, a function's body, a comment: what is between semicolons is a statement only outside of these.
_TOKEN: Final = re.compile(r"(--[^\n]*|/\*.*?\*/)|(\$(\w*)\$.*?\$\3\$|'(?:[^']|'')*'|\"[^\"]*\")|(;)|.", re.DOTALL)
_TABLE: Final = re.compile(r"^ALTER TABLE (?:ONLY )?(\w+) ", re.IGNORECASE)
_NEW_TABLE: Final = re.compile(r"^CREATE TABLE (\w+) ", re.IGNORECASE)
_ABOUT_TABLE: Final = re.compile(r"^(?:CREATE TABLE|ALTER TABLE|CREATE (?:UNIQUE )?INDEX \w+ ON) (\w+)", re.IGNORECASE)
#: Those alone in their file: they run outside of a transaction (core/migrations/sql_file.py).
_CONCURRENT: Final = re.compile(
    r"^(CREATE (UNIQUE )?INDEX CONCURRENTLY \w+ ON|DROP INDEX CONCURRENTLY IF EXISTS \w+$)", re.IGNORECASE
)

_CONSTANT: Final = r"(?:-?\d+(?:\.\d+)?|'(?:[^']|'')*'|true|false|null)(?:::\w+(?:\[\])?)?"
_TYPE: Final = r"\w+(?: ?\(\d+(?:, ?\d+)?\))?(?:\[\])?(?: with time zone)?"
_ADD_COLUMN: Final = rf"ADD COLUMN \w+ {_TYPE}(?: NOT NULL DEFAULT {_CONSTANT}| DEFAULT {_CONSTANT}(?: NOT NULL)?)?"
_ALTERATION: Final = "|".join(
    (
        _ADD_COLUMN,
        r"ALTER COLUMN \w+ (?:SET DEFAULT .+|DROP DEFAULT|DROP NOT NULL|SET STATISTICS \d+)",
        r"ADD CONSTRAINT \w+ CHECK \(.+\) NOT VALID",
        r"VALIDATE CONSTRAINT \w+",
        r"(?:SET|RESET) \(.+\)",
    )
)
_ALLOWED: Final = (
    re.compile(rf"^ALTER TABLE \w+ (?:{_ALTERATION})(?:, (?:{_ALTERATION}))*$", re.IGNORECASE),
    re.compile(r"^CREATE (OR REPLACE )?FUNCTION ", re.IGNORECASE),
    re.compile(r"^CREATE (OR REPLACE )?TRIGGER ", re.IGNORECASE),
    re.compile(r"^COMMENT ON ", re.IGNORECASE),
    re.compile(r"^GRANT ", re.IGNORECASE),
)
#: What code that still uses it would miss: only where the revision names an oldest_code that is newer than the one before.
_CONTRACTION: Final = re.compile(
    r"^(ALTER TABLE \w+ DROP (COLUMN|CONSTRAINT) \w+|DROP (TABLE|FUNCTION|TRIGGER) (?!.*CASCADE).+)$", re.IGNORECASE
)
_OLDEST_CODE: Final = re.compile(r'^oldest_code = "(\d{4})"$', re.MULTILINE)


def main() -> int:
    """Print what each later revision does that it must not; return 1 if there is something."""
    problems = [problem for path in later_revisions(VERSIONS) for problem in find_problems(path)]
    print("\n".join(problems))
    return 1 if problems else 0


def later_revisions(versions: Path) -> list[Path]:
    """Return the Python files of the revisions after the first release, in order."""
    return [path for path in sorted(versions.glob("[0-9]*.py")) if not path.name.startswith(FIRST_RELEASE)]


def find_problems(path: Path) -> Iterator[str]:
    """Yield a sentence for each rule that a revision breaks. The .sql file is beside it."""
    text = path.read_text(encoding="utf-8")
    if "run_sql_file(__file__)" not in text or "op." in text:
        yield f"{path.name}: must run its .sql file with run_sql_file(__file__), and nothing else"
    oldest_code = _OLDEST_CODE.search(text)
    if oldest_code is None:
        yield f'{path.name}: must say which code works with it, as in oldest_code = "{FIRST_RELEASE[-1]}"'
    is_contraction = oldest_code is not None and oldest_code[1] > _oldest_code_before(path)
    sql_file = path.with_suffix(".sql")
    statements = list(split(sql_file.read_text(encoding="utf-8")))
    yield from (f"{sql_file.name}: {problem}" for problem in find_statements(statements, is_contraction))


def find_statements(statements: list[str], is_contraction: bool) -> Iterator[str]:
    """Yield a sentence for each statement that must not be there."""
    new_tables = {found[1] for statement in statements if (found := _NEW_TABLE.match(statement))}
    altered = {found[1] for statement in statements if (found := _TABLE.match(statement))} - new_tables
    if len(altered) > 1:
        yield f"alters {', '.join(sorted(altered))} in one transaction: one table in a revision, or it can deadlock"
    for statement in statements:
        if _CONCURRENT.match(statement):
            if len(statements) > 1:
                yield f"must be alone in its revision: {statement}"
        elif not _is_allowed(statement, new_tables) and not (is_contraction and _CONTRACTION.match(statement)):
            hint = "; nothing may be dropped unless oldest_code is raised" if _CONTRACTION.match(statement) else ""
            yield f"is not known to be harmless beside running parts: {statement}{hint}"


def split(sql: str) -> Iterator[str]:
    """Yield the statements without comments, their white space as single spaces."""
    statement = ""
    for token in _TOKEN.finditer(sql + ";"):
        if token[4]:
            if statement.strip():
                yield " ".join(statement.split())
            statement = ""
        elif not token[1]:
            statement += token[0]


def _is_allowed(statement: str, new_tables: set[str]) -> bool:
    """Tell whether a statement is listed, or is about a table that is made in the same revision."""
    if "REFERENCES" in statement.upper():
        return False  # locks the other table
    found = _ABOUT_TABLE.match(statement)
    if found and found[1] in new_tables and " AS SELECT" not in statement.upper():
        return True
    return any(pattern.match(statement) for pattern in _ALLOWED)


def _oldest_code_before(path: Path) -> str:
    """Return the oldest_code of the revision before."""
    before = [other for other in later_revisions(path.parent) if other.name < path.name]
    found = _OLDEST_CODE.search(before[-1].read_text(encoding="utf-8")) if before else None
    return found[1] if found else FIRST_RELEASE[-1]


if __name__ == "__main__":
    sys.exit(main())
