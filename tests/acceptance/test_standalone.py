"""The whole system on one machine, started, used, hurt and stopped as a user would."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.engines import wait_until
from tests.standalone_run import ROOT, StandaloneRun

#: A module of the user's, beside ours.
SHOP: Final = '''
import time
from celery import shared_task

@shared_task(name="shop.sleep")
def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "slept"
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneRun]:
    """A run that several tests share."""
    with StandaloneRun(tmp_path_factory.mktemp("shared"), "--workers", "2") as run:
        yield run.wait_until_ready()


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """The environment that serves a task module of the user's."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/shop.py").write_text(SHOP)
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path / "modules")]), "TASK_MODULES": "tasks,shop"}


def test_curl_line_that_it_prints_works(run: StandaloneRun) -> None:
    (line,) = (line for line in run.output.splitlines() if " curl " in line)
    answer = subprocess.run(["/bin/sh", "-c", line.partition("│")[2]], capture_output=True, check=True)
    assert run.status(json.loads(answer.stdout)["task_id"], wait_s=10)["result"] == 5


def test_client_is_told_where_a_service_on_another_port_is(run: StandaloneRun) -> None:
    assert f"./dev client --url {run.url}, or TASK_SERVICE_URL={run.url}\n" in run.output


def test_console_line_names_its_part_only_in_front(run: StandaloneRun) -> None:
    line = r"^worker-1 +│ .*worker\.started"
    wait_until(lambda: re.search(line, run.output, re.MULTILINE), 30.0, "worker-1 has started")  # ready is one with another
    assert "part=" not in run.output


def test_it_listens_on_the_loopback_interface_only(run: StandaloneRun) -> None:
    port = int(run.url.rpartition(":")[2])
    with socket.socket() as client:  # an address of this machine that is not 127.0.0.1
        assert client.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize("name", ["worker-1", "scheduler", "api", "postgres", "valkey-server"])
def test_what_is_killed_is_started_again_and_jobs_run(run: StandaloneRun, name: str) -> None:
    before = run.pid_of(name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: run.pid_of(name) not in (0, before), 30.0, f"{name} runs again")
    wait_until(lambda: run.readiness() == 200, 30.0, "ready again")
    assert run.status(run.post("add", {"x": 2, "y": 3}), wait_s=30)["result"] == 5


def test_each_part_and_engine_is_in_a_session_of_its_own(run: StandaloneRun) -> None:
    for name in ("worker-1", "worker-2", "scheduler", "api", "postgres", "valkey-server"):
        assert os.getsid(run.pid_of(name)) == run.pid_of(name)


def test_second_run_on_the_same_data_is_refused_with_a_sentence(run: StandaloneRun, tmp_path: Path) -> None:
    with StandaloneRun(tmp_path, "--data-dir", str(run.data_path)) as other:
        assert other.wait() == 1
        assert other.output == (
            f"./dev run: the data directory {run.data_path} is in use by another run (pid {run.process.pid}): "
            "stop that one, or name another with --data-dir\n"
        )


def test_port_in_use_is_refused_with_a_sentence(run: StandaloneRun, tmp_path: Path) -> None:
    port = run.url.rpartition(":")[2]
    with StandaloneRun(tmp_path, "--port", port) as other:
        assert other.wait() == 1
        assert other.output == f"./dev run: port {port} cannot be had (Address already in use): choose another with --port\n"


def test_jobs_survive_kill_9_of_everything_and_the_next_run_finishes_them(tmp_path: Path, shop: dict[str, str]) -> None:
    with StandaloneRun(tmp_path, "--workers", "1", environment=shop) as run:
        run.wait_until_ready()
        finished = run.post("upper_case", {"text": "straße"})
        assert run.status(finished, wait_s=10)["result"] == "STRASSE"
        running = run.post("shop.sleep", {"seconds": 3.0})
        wait_until(lambda: run.status(running)["status"] == "STARTED", 10.0, "the job runs")
        run.kill()
    with StandaloneRun(tmp_path, "--workers", "1", environment=shop) as again:
        again.wait_until_ready()
        assert again.status(finished)["result"] == "STRASSE"
        assert again.status(running, wait_s=30)["result"] == "slept"


def test_job_that_runs_is_finished_before_the_stop_and_every_line_is_json(tmp_path: Path, shop: dict[str, str]) -> None:
    with StandaloneRun(tmp_path, "--workers", "1", "--log-format", "json", environment=shop) as run:
        run.wait_until_ready()
        job = run.post("shop.sleep", {"seconds": 2.0})
        wait_until(lambda: run.status(job)["status"] == "STARTED", 10.0, "the job runs")
        assert run.stop(signal.SIGTERM) == 0
        lines = [json.loads(line) for line in run.output.splitlines()]
        events = [line["event"] for line in lines]
        assert events.index("stop.asked") < events.index("job.finished") < events.index("service.stopped")
        assert {line["part"] for line in lines} >= {"standalone", "migrations", "scheduler", "api", "worker-1"}


def test_broken_module_is_told_once_and_the_parts_go_on_until_it_is_mended(tmp_path: Path, shop: dict[str, str]) -> None:
    with StandaloneRun(tmp_path, "--workers", "2", "--reload", environment=shop) as run:
        parts = [run.wait_until_ready().pid_of(name) for name in ("api", "scheduler", "worker-1", "worker-2")]
        (tmp_path / "modules/shop.py").write_text("def f(:\n")
        wait_until(lambda: "go on with the old code" in run.output, 30.0, "it is told")
        assert run.status(run.post("shop.sleep", {"seconds": 0.0}), wait_s=10)["result"] == "slept"
        assert [run.pid_of(name) for name in ("api", "scheduler", "worker-1", "worker-2")] == parts
        assert run.output.count("SyntaxError") == 1
        busy = run.post("shop.sleep", {"seconds": 4.0})
        wait_until(lambda: run.status(busy)["status"] == "STARTED", 10.0, "the job runs")
        (tmp_path / "modules/shop.py").write_text(SHOP.replace("shop.sleep", "shop.nap"))
        wait_until(lambda: "ready again in" in run.output, 30.0, "ready again")
        assert run.output.partition("ready again in")[0].count("worker.drained") == 2  # also the one that was busy
        assert run.status(run.post("shop.nap", {"seconds": 0.0}), wait_s=10)["result"] == "slept"
        assert "starts again in" not in run.output  # no part died


def test_changed_task_is_served_and_a_second_ctrl_c_does_not_wait_for_it(tmp_path: Path, shop: dict[str, str]) -> None:
    greet = '\n@shared_task(name="shop.greet")\ndef greet(name: str) -> str:\n    return "Hi " + name\n'
    with StandaloneRun(tmp_path, "--workers", "1", "--reload", environment=shop) as run:
        run.wait_until_ready()
        (tmp_path / "modules/shop.py").write_text(SHOP + greet)
        wait_until(lambda: "shop.greet" in _routes(run), 30.0, "the new task has a route")
        assert run.status(run.post("shop.greet", {"name": "Ada"}), wait_s=30)["result"] == "Hi Ada"
        job = run.post("shop.sleep", {"seconds": 60.0})
        wait_until(lambda: run.status(job)["status"] == "STARTED", 10.0, "the job runs")
        run.press_ctrl_c()
        wait_until(lambda: "stopping" in run.output, 10.0, "it stops")
        begun = time.monotonic()
        run.press_ctrl_c()
        assert run.wait() == 130
        assert time.monotonic() - begun < 5
        assert run.left_running == []


def _routes(run: StandaloneRun) -> str:
    try:
        return requests.get(f"{run.url}/openapi.json", timeout=5).text
    except requests.ConnectionError:  # between two lives of the api
        return ""


def test_task_module_that_cannot_be_loaded_stops_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]), "TASK_MODULES": "broken"}
    with StandaloneRun(tmp_path, "--workers", "1", environment=environment) as run:
        assert run.wait() == 1
        last = run.output.splitlines()[-1]
        assert last.startswith("./dev run: ")
        assert "cannot start: " in last
        assert "broken" in last
        assert run.left_running == []


def test_fresh_clone_gets_ready_by_dev_run_alone_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    environment = {"PYTHONPATH": "", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    with StandaloneRun(tmp_path, "--workers", "4", environment=environment, command=[str(clone / "dev"), "run"]) as run:
        wait_until(lambda: "done in" in run.output or run.process.poll() is not None, 300.0, "installed")
        run.wait_until_ready()
        assert run.status(run.post("add", {"x": 2, "y": 3}), wait_s=10)["result"] == 5
        begun = time.monotonic()
        run.press_ctrl_c()
        assert run.wait() == 0
        assert time.monotonic() - begun < 10
        assert run.left_running == []
        assert "Traceback" not in run.output
        assert not Path(json.loads((tmp_path / "data/lock").read_text())["run_path"]).exists()
