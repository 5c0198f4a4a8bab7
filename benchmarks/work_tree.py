"""An earlier commit of this repository, checked out beside it, with what it needs to run."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.environments import python_for
from benchmarks.errors import BenchmarkError

ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A checkout, the short name of its commit, and the interpreter that runs it."""

    path: Path
    commit: str
    python: Path


@contextmanager
def work_tree(commit: str, place: Path) -> Iterator[WorkTree]:
    """Yield a work tree of the commit below place; it is removed at the end. Raises BenchmarkError if there is none."""
    name = _git("rev-parse", "--short", "--verify", f"{commit}^{{commit}}")
    path = place / "before"
    _remove(path)
    _git("worktree", "add", "--detach", "--force", str(path), name)
    try:
        yield WorkTree(path, name, python_for(path / "requirements.txt", ROOT / "requirements.txt", place / "environments"))
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    _git("worktree", "prune")


def _git(*arguments: str) -> str:
    outcome = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise BenchmarkError(f"git {' '.join(arguments)}: {outcome.stderr.strip()}")
    return outcome.stdout.strip()
