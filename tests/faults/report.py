"""What the cases of a run have measured: lines for the terminal and, in the full form, the table of docs/reliability.md."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.faults.checker import Verdict
from tests.faults.sizes import IS_FULL
from tests.stack import ROOT

PAGE: Final = ROOT / "docs" / "reliability.md"

_COLUMNS: Final = (
    *("fault", "broker", "jobs", "lost", "stuck", "too early", "run again (allowed)", "outcomes twice"),
    *("drained after", "working after", "also measured", "run"),
)
_HEAD: Final = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"
#: The table is what stands between these two lines.
_TABLE: Final = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of table -->)", re.DOTALL)


class Report:
    """Takes the figures of each case."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, fault: str, broker: str, verdict: Verdict | None = None, **also: object) -> None:
        """Note the figures of a case: what the checker found, and whatever else it has measured.

        In the full form, the case's row on the page is written anew.
        """
        measured = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in also.items())
        self.lines.append(f"{fault}, {broker}: " + "; ".join(filter(None, [str(verdict or ""), measured])))
        print(self.lines[-1])
        if IS_FULL:
            text = PAGE.read_text(encoding="utf-8")
            row = _row(fault, broker, verdict, measured)
            PAGE.write_text(_TABLE.sub(lambda found: with_row(found[0], row), text), encoding="utf-8")


def with_row(table: str, row: str) -> str:
    """Return a table with a row, in the place of the one of the same fault and broker, if there is one."""
    rows = table.removeprefix(_HEAD).splitlines(keepends=True)
    keys = [_key(known) for known in rows]
    if _key(row) in keys:
        rows[keys.index(_key(row))] = row
    else:
        rows.append(row)
    return _HEAD + "".join(rows)


def _key(row: str) -> list[str]:
    return row.split("|")[1:3]


def _row(fault: str, broker: str, verdict: Verdict | None, measured: str) -> str:
    figures = [""] * 8
    if verdict is not None:
        figures = [
            f"{verdict.accepted:,}",
            str(verdict.lost),
            str(verdict.stuck),
            str(verdict.early),
            f"{verdict.extra_executions} ({verdict.extra_executions_bound})",
            str(verdict.duplicate_outcomes),
            f"{verdict.drained_s:.1f} s",
            f"{verdict.recovered_s:.1f} s",
        ]
    cells = [fault, broker, *figures, measured, f"{_commit()}, {datetime.now(UTC):%Y-%m-%d}"]
    return f"| {' | '.join(cells)} |\n"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    outcome = subprocess.run(command, cwd=Path(ROOT), capture_output=True, text=True, check=False, env=os.environ)
    return outcome.stdout.strip() or "unknown"
