"""A run of `./dev run` or `python -m standalone`, as a user starts it, for acceptance tests."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import requests

from tests.engines import wait_until
from tests.processes import children_of, descendants_of, is_zombie

ROOT: Final = Path(__file__).resolve().parents[1]
READY_LIMIT_S: Final = 90.0
STOP_LIMIT_S: Final = 60.0
REQUEST_LIMIT_S: Final = 20.0


class StandaloneRun:
    """One run of the whole system; use it in `with`: nothing of it survives."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-P", "-m", "standalone"),
    ) -> None:
        self.data_path: Final = directory / "data"
        self._output_path = directory / "output.txt"
        words = [*command, "--port", "0", "--data-dir", str(self.data_path), *options]
        with self._output_path.open("wb") as output:
            self.process: Final = subprocess.Popen(
                words,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # as a terminal does, so that Ctrl-C goes to this process group alone
            )
        self._seen: set[int] = set()

    def __enter__(self) -> Self:
        """Nothing to do: it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it if it still runs; what it started dies with it, and the next run would remove its sockets."""
        self.kill()
        with suppress(OSError, ValueError):  # it never got so far
            shutil.rmtree(json.loads((self.data_path / "lock").read_text())["run_path"], ignore_errors=True)

    @property
    def output(self) -> str:
        """All that it has written."""
        return self._output_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where its api is, once it has said so."""
        found = re.search(
            r"http://127\.0\.0\.1:\d+", self.output.partition("ready in")[2] or self.output.partition('"took_s"')[0]
        )
        assert found, self.output
        return found.group()

    def wait_until_ready(self) -> Self:
        """Return when it says that it is ready."""
        wait_until(lambda: self._is_ready or self.process.poll() is not None, READY_LIMIT_S, "ready")
        assert self._is_ready, self.output
        self._seen.update(descendants_of(self.process.pid))
        return self

    @property
    def _is_ready(self) -> bool:
        return "ready in" in self.output or "service.started" in self.output

    def wait(self) -> int:
        """Return its exit code when it has ended by itself."""
        return self.process.wait(STOP_LIMIT_S)

    def press_ctrl_c(self) -> None:
        """Send SIGINT to the process group in the foreground, as the terminal does."""
        self._seen.update(descendants_of(self.process.pid))
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self._seen.update(descendants_of(self.process.pid))
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """kill -9 it."""
        self._seen.update(descendants_of(self.process.pid))
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)
        wait_until(lambda: not self.left_running, 10.0, "all that it started has ended")

    @property
    def left_running(self) -> list[int]:
        """The processes that were seen below it and still run."""
        return [pid for pid in self._seen if not is_zombie(pid)]

    def pid_of(self, name: str) -> int:
        """Return the main process of an engine (its program's name), a part (its module) or a worker (its name); 0: none."""
        for pid in children_of(self.process.pid):
            with suppress(OSError):
                process = Path(f"/proc/{pid}")
                variables = (process / "environ").read_bytes().decode().split("\0")
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if (process / "comm").read_text() == f"{name}\n" or name in words or f"WORKER_NAME={name}" in variables:
                    return pid
        return 0

    def post(self, route: str, arguments: dict[str, Any]) -> str:
        """Submit a job and return its id."""
        answer = requests.post(f"{self.url}/{route}", json=arguments, timeout=REQUEST_LIMIT_S)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def status(self, task_id: str, wait_s: int = 0) -> dict[str, Any]:
        """Return a job's status, after it has finished or wait_s have passed."""
        answer = requests.get(f"{self.url}/status/{task_id}?wait={wait_s}", timeout=wait_s + REQUEST_LIMIT_S)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def readiness(self) -> int:
        """Return the status code of /readyz, 0 if nobody answers."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=REQUEST_LIMIT_S).status_code
        except requests.ConnectionError:
            return 0
