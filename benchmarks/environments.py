"""A virtual environment for each contestant, made once and kept until its requirements or the Python change."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contestant import CONTESTANTS_PATH
from benchmarks.errors import BenchmarkError


def python_of(name: str, cache_path: Path) -> Path:
    """Return the interpreter that runs the contestant; one without requirements runs in this environment."""
    requirements = CONTESTANTS_PATH / name / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    return _environment(requirements, cache_path / name)


def python_for(requirements: Path, present: Path, cache_path: Path) -> Path:
    """Return an interpreter for these requirements: this one if they are those of the present tree."""
    if requirements.read_bytes() == present.read_bytes():
        return Path(sys.executable)
    return _environment(requirements, cache_path / "before")


def _environment(requirements: Path, cache_path: Path) -> Path:
    stamp = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = cache_path / stamp
    if not place.exists():
        shutil.rmtree(cache_path, ignore_errors=True)
        print(f"installing {cache_path.name} ...", file=sys.stderr)
        _install(requirements, place)
    return place / "bin" / "python"


def versions_of(python: Path, packages: Sequence[str]) -> Mapping[str, str]:
    """Return the installed version of each package."""
    code = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"
    printed = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True).stdout
    return dict(zip(packages, printed.split(), strict=True))


def _install(requirements: Path, place: Path) -> None:
    """Install beside the place and move the result there, so that a broken-off one is never taken for good."""
    fresh = place.with_name("unfinished")
    # --without-pip, and this environment's pip: Debian's Python may lack ensurepip
    steps = (
        [sys.executable, "-m", "venv", "--without-pip", str(fresh)],
        [sys.executable, "-m", "pip", "--python", str(fresh / "bin" / "python"), "install", "-q", "-r", str(requirements)],
    )
    for step in steps:
        outcome = subprocess.run(step, capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            raise BenchmarkError(f"{' '.join(step)} failed: {outcome.stderr[-2000:]}")
    fresh.rename(place)
