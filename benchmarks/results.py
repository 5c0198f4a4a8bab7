"""What a run leaves in the repository: RESULTS.md with all its tables, and the picture that README.md shows."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from benchmarks.findings import Findings, targets_table
from benchmarks.plot import draw

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS_PATH: Final = ROOT / "benchmarks" / "RESULTS.md"
PICTURE_PATH: Final = ROOT / "docs" / "images" / "benchmark.svg"


def write(findings: Findings, head: str, sections: Sequence[str], form: str, today: date) -> None:
    """Write both. head names the machine and the contestants; form says how large the run was, and whether undisturbed."""
    said = f"Written by `./dev bench` on {today:%d %B %Y}, {form}; [README.md](README.md) says how it measures."
    must = "## What must be reached\n\nMedian over the rounds; in brackets the least and the greatest.\n\n"
    parts = ["# Results", said, head, must + targets_table(findings), *(section.rstrip() for section in sections)]
    RESULTS_PATH.write_text("\n\n".join(parts) + "\n")
    PICTURE_PATH.write_text(draw(findings, f"./dev bench, {form}, {today:%d %B %Y}. In brackets: ours divided by it."))
