"""`python -m api` as a process: how it starts, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests.api_rig import ADD, WAIT_LIMIT_S, read_response, request_bytes, wait_until

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(database_url: str, port: int, **environment: str) -> "subprocess.Popen[str]":
    values = {"DATABASE_URL": database_url, "BROKER_URL": "redis://nowhere", "PORT": str(port), **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env={**os.environ, **values},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running(database_url: str, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run the api; give the process and its address."""
    port = free_port()
    process = start(database_url, port, **environment)
    url = f"http://127.0.0.1:{port}"

    def is_alive() -> bool:
        assert process.poll() is None, process.communicate()
        with suppress(requests.ConnectionError):
            return requests.get(f"{url}/healthz", timeout=5).ok
        return False

    try:
        wait_until(is_alive, "the api answers", 30)
        yield process, url
    finally:
        process.kill()
        process.communicate()


def end(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str]:
    """Send a signal; return the exit code and what was logged."""
    process.send_signal(number)
    _, log = process.communicate(timeout=WAIT_LIMIT_S)
    return process.returncode, log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_exit_code_0(database_url: str, number: signal.Signals) -> None:
    with running(database_url) as (process, url):
        task_id = requests.post(f"{url}/add", json=ADD, timeout=5).json()["task_id"]
        code, log = end(process, number)
    assert code == 0
    assert f"task_id={task_id}" in log
    assert "Traceback" not in log
    assert "DeprecationWarning" not in log


def test_waiter_is_answered_when_it_ends(database_url: str) -> None:
    with running(database_url) as (process, url):
        task_id = requests.post(f"{url}/add", json=ADD, timeout=5).json()["task_id"]
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(request_bytes("GET", f"/status/{task_id}?wait=60"))
            wait_until(lambda: requests.get(f"{url}/status/{task_id}", timeout=5).ok, "the api has taken the request")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert read_response(client).json()["status"] == "PENDING"
        process.communicate(timeout=WAIT_LIMIT_S)
    assert process.returncode == 0
    assert time.monotonic() - began < 5


def test_arguments_are_not_logged(database_url: str) -> None:
    with running(database_url, LOG_LEVEL="INFO", LOG_FORMAT="json") as (process, url):
        requests.post(f"{url}/upper_case", json={"text": "my secret"}, timeout=5)
        _, log = end(process, signal.SIGTERM)
    assert '"event": "job.accepted"' in log
    assert "secret" not in log


def test_access_log_is_written_at_debug(database_url: str) -> None:
    with running(database_url, LOG_LEVEL="DEBUG") as (process, url):
        requests.get(f"{url}/nope", timeout=5)
        _, log = end(process, signal.SIGTERM)
    assert "request.answered" in log
    assert "status=404" in log


def test_it_starts_without_a_database() -> None:
    with running("postgresql://nobody:hidden@127.0.0.1:1/none") as (process, url):
        answer = requests.get(f"{url}/readyz", timeout=5)
        code, log = end(process, signal.SIGTERM)
    assert answer.status_code == 503
    assert code == 0
    assert "store.lost" in log
    assert "hidden" not in answer.text + log


def test_port_in_use_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = start("postgresql://nowhere", port)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in log
    assert "Traceback" not in log


def test_wrong_setting_is_named() -> None:
    process = start("mysql://nowhere", 0)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 78
    assert log.startswith("DATABASE_URL:")
    assert "Traceback" not in log
