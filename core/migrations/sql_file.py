"""Runs the SQL file beside a revision: in the revision's transaction; what is CONCURRENTLY, outside of one."""

import re
from pathlib import Path
from typing import Final

import sqlalchemy
from alembic import op

#: It waits for all transactions that began before it, and holds nobody up meanwhile.
_PATIENT: Final = ("SET lock_timeout = 0", "SET statement_timeout = '6h'")
_IMPATIENT: Final = ("RESET lock_timeout", "RESET statement_timeout")
_CREATE_INDEX: Final = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(\w+)", re.IGNORECASE)
_DROP_INDEX: Final = re.compile(r"\s*DROP\s+INDEX\s+CONCURRENTLY\s", re.IGNORECASE)
_COMMENT: Final = re.compile(r"--[^\n]*")
_IS_VALID: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"


def run_sql_file(revision_file: str) -> None:
    """Run the .sql file beside a revision's __file__."""
    sql = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    statement = _COMMENT.sub("", sql)
    if index := _CREATE_INDEX.match(statement):
        _run_outside(statement, index[1])
    elif _DROP_INDEX.match(statement):
        _run_outside(statement)
    else:
        op.execute(sql)


def _run_outside(statement: str, index: str | None = None) -> None:
    """Run one statement outside of a transaction. An index that an interrupted build has left invalid is built anew."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        for setting in _PATIENT:
            op.execute(setting)
        is_valid = connection.execute(sqlalchemy.text(_IS_VALID), {"name": index}).scalar() if index else None
        if is_valid is False:
            op.execute(f"DROP INDEX CONCURRENTLY {index}")
        if not is_valid:
            op.execute(statement)
        for setting in _IMPATIENT:
            op.execute(setting)
