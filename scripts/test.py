"""Run the tests: `./dev test`. All of them in two processes side by side, each with engines of its own: most of them wait.

Arguments go to pytest; with a path among them, it runs alone.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

#: Half of the time; the other directories are the other half.
FIRST_HALF: Final = frozenset({"acceptance", "contract"})
#: ./dev compose runs these.
LEFT_OUT: Final = frozenset({"compose"})


def main(arguments: Sequence[str]) -> int:
    """Return pytest's exit code, of the half that failed if one did."""
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments if not argument.startswith("-")):
        return pytest.main(list(arguments))
    first, second = halves()
    with tempfile.TemporaryFile() as output:
        other = subprocess.Popen(_command(second, arguments), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        code = subprocess.run(_command(first, arguments), cwd=ROOT, check=False).returncode
        codes = (code, other.wait())
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return exit_code(*codes)


def exit_code(first: int, second: int) -> int:
    """Return the one exit code of both halves. With -k or -m, one of them may have no test to run."""
    if pytest.ExitCode.NO_TESTS_COLLECTED in (first, second):
        return min(first, second)  # it is the greatest code
    return max(first, second)


def halves() -> tuple[list[str], list[str]]:
    """Return the directories of tests, each once."""
    directories = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    chosen = sorted(directories - LEFT_OUT)
    first = [f"tests/{name}" for name in chosen if name in FIRST_HALF]
    return first, [f"tests/{name}" for name in chosen if name not in FIRST_HALF]


def _command(paths: Sequence[str], arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "pytest", *paths, *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
