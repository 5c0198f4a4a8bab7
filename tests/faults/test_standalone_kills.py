"""kill -9 of the parts of `./dev run`, by its supervisor's side: it starts again whatever ends."""

import itertools
import json
import os
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.api_client import ApiClient
from tests.engines import wait_until
from tests.faults.checker import Checker
from tests.faults.faulty_stack import conclude
from tests.faults.ground import TASKS
from tests.faults.load import Load
from tests.faults.report import Report
from tests.faults.sizes import size
from tests.standalone_run import StandaloneRun

KILLS: Final = size(6, 100)
VALKEY_KILLS: Final = size(1, 5)
JOBS: Final = size(200, 5_000)
WORKERS: Final = ("worker-1", "worker-2")
PARTS: Final = (*WORKERS, "scheduler", "api")
STARTED_AGAIN_LIMIT_S: Final = 60.0

pytestmark = pytest.mark.timeout(size(180, 1800))


def test_killed_parts_of_a_standalone_run(tmp_path: Path, report: Report) -> None:
    effects_log = tmp_path / "effects"
    environment = {**TASKS, "EFFECTS_LOG": str(effects_log)}
    with StandaloneRun(tmp_path, "--workers", str(len(WORKERS)), environment=environment) as run:
        run.wait_until_ready()
        run_path = json.loads((run.data_path / "lock").read_text())["run_path"]
        checker = Checker(f"postgresql://postgres@/postgres?host={run_path}", effects_log)
        checker.begin()
        load = Load(ApiClient(run.url), "standalone", JOBS)
        victims = itertools.cycle(PARTS)
        worker_kills = 0
        for number in range(1, KILLS + 1):
            load.release(number / KILLS)
            checker.wait_finished(JOBS * (number - 1) // KILLS * 9 // 10, limit_s=120)
            victim = next(victims)
            worker_kills += victim in WORKERS
            _kill(run, victim)
            if number % (KILLS // VALKEY_KILLS) == 0:
                _kill(run, "valkey-server")
        disturbed_at = time.time()
        verdict = conclude(checker, load, disturbed_at, worker_kills)
        load.close()
        assert run.stop() == 0
    report.add(
        f"{KILLS} x kill -9 of a part of a standalone run, {VALKEY_KILLS} x of Valkey",
        "valkey",
        verdict,
    )
    assert verdict.accepted == JOBS
    assert verdict.is_good, verdict


def _kill(run: StandaloneRun, name: str) -> None:
    """Kill a part as soon as it runs (again)."""
    wait_until(lambda: run.pid_of(name) != 0, STARTED_AGAIN_LIMIT_S, f"{name} runs")
    os.kill(run.pid_of(name), signal.SIGKILL)
