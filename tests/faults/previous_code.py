"""The code before the last change of a part, taken from the history of the clone."""

import subprocess
from pathlib import Path
from typing import Final

from tests.stack import ROOT

PARTS: Final = ("core", "api", "scheduler", "worker")


class NoHistoryError(Exception):
    """Why the code of before is not to be had."""


def write_previous_code(directory: Path) -> str:
    """Write the parts, as they were before the last commit that changed one, into directory; return that commit.

    Raises NoHistoryError.
    """
    try:
        changed = _git("log", "--max-count=1", "--format=%H", "--", *PARTS).decode().strip()
        commit = _git("rev-parse", "--short", "--verify", f"{changed}~1").decode().strip()
        archive = _git("archive", commit, "--", *PARTS, "tasks")
    except FileNotFoundError:
        raise NoHistoryError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        hint = "in a shallow clone, git fetch --unshallow brings it"
        raise NoHistoryError(f"git knows no commit before this one ({error.stderr.decode().strip()}); {hint}") from None
    subprocess.run(["tar", "--extract", "--directory", str(directory)], input=archive, check=True)
    return commit


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
