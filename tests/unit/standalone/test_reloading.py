import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from standalone.options import ROOT
from standalone.reloading import rehearse
from standalone.system import System

GOOD: Final = "from celery import shared_task\n\n@shared_task\ndef send() -> None: ...\n"


def _rehearsed(directory: Path, source: str, limit_s: float = 30.0) -> str:
    """Return what a rehearsal says of a module of the user's."""
    (directory / "shop.py").write_text(source)
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody.invalid/none",
        "BROKER_URL": "redis://nobody.invalid",
        "TASK_MODULES": "shop",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(directory)]),
    }
    return asyncio.run(rehearse(System((), (), (), environment), limit_s))


def test_module_that_can_be_loaded_is_no_problem(tmp_path: Path) -> None:
    assert _rehearsed(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(:\n", "SyntaxError: "),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import os\nprint('hello')\nos._exit(3)", "hello"),
        ("import os\nos._exit(3)", "ended with code 3"),
        (GOOD.replace("@shared_task\n", "@shared_task(rate_limit=5)\n"), "rate_limit"),
    ],
)
def test_problem_is_one_line(tmp_path: Path, source: str, problem: str) -> None:
    assert problem in _rehearsed(tmp_path, source)


def test_several_problems_are_one_line(tmp_path: Path) -> None:
    said = _rehearsed(tmp_path, GOOD.replace("@shared_task\n", "@shared_task(compression=5, rate_limit=5)\n"))
    assert "compression" in said
    assert "rate_limit" in said
    assert "\n" not in said


def test_module_that_does_not_come_back_is_a_problem(tmp_path: Path) -> None:
    assert _rehearsed(tmp_path, "import time\ntime.sleep(60)", limit_s=0.5) == (
        "importing the tasks takes longer than 0.5 s"
    )
