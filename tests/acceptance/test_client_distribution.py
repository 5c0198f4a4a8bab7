"""The client as a distribution of its own: installed alone, with types, and without a trace in its source directory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.stack import ROOT

SOURCE: Final = ROOT / "client"
TYPED: Final = """\
from task_service_client import Client, Status
status: Status = Client("http://localhost").wait("id")
wrong: int = status.task
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the client is installed, with what it needs."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(site)]
    before = _sources()
    subprocess.run([*command, str(SOURCE)], check=True, capture_output=True)
    assert _sources() == before
    return site


def _sources() -> set[Path]:
    return {path for path in SOURCE.rglob("*") if "__pycache__" not in path.parts}


def _run(site: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"]}
    return subprocess.run(words, cwd=site, env=environment, capture_output=True, text=True, check=False, timeout=90)


def test_command_is_installed_and_says_what_is_wrong(site: Path) -> None:
    outcome = _run(site, str(site / "bin/task-service"), "tasks", "--url", "http://127.0.0.1:9", "--timeout", "0.1")
    assert outcome.returncode == 3
    assert outcome.stderr == (
        "task-service: cannot list the tasks at http://127.0.0.1:9 within 0.1 s: Connection refused. "
        "Start the service with ./dev run, or say where it is with --url\n"
    )


def test_module_is_a_program_too(site: Path) -> None:
    outcome = _run(site, sys.executable, "-P", "-m", "task_service_client", "--help")
    assert outcome.stdout.startswith("usage: python -m task_service_client ")


def test_types_reach_whoever_uses_it(site: Path) -> None:
    (site / "user.py").write_text(TYPED)
    outcome = _run(site, sys.executable, "-P", "-m", "mypy", "--strict", "--cache-dir", str(site / ".cache"), "user.py")
    assert 'user.py:3: error: Incompatible types in assignment (expression has type "str"' in outcome.stdout
    assert "Found 1 error" in outcome.stdout
