"""A part of the service as a real process, started again whenever it ends, as a supervisor or Compose would."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from standalone.leash import leashed
from tests.processes import descendants_of

RESTART_PAUSE_S: Final = 0.2


class SupervisedPart:
    """`python -m MODULE`, kept running from start() to stop() or kill_for_good(). What it writes goes to log_path."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], log_path: Path) -> None:
        self.name: Final = name
        self.log_path: Final = log_path
        self._module = module
        self._environment = environment
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Run it from now on."""
        self._is_over.clear()
        # The process is tied to the thread that starts it, and so to this test run.
        self._thread = threading.Thread(target=self._keep_running, name=self.name, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """kill -9 it and its children; it is started again."""
        with self._lock:
            if self.pid is not None:
                for pid in (self.pid, *descendants_of(self.pid)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def kill_children(self) -> None:
        """kill -9 its children alone."""
        for pid in descendants_of(self.pid) if self.pid else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_for_good(self) -> None:
        """kill -9 it and its children, and do not start it again."""
        self._is_over.set()
        self.kill()
        if self._thread is not None:
            self._thread.join()

    def ask_to_stop(self) -> None:
        """Send it SIGTERM, and do not start it again."""
        self._is_over.set()
        with self._lock:
            if self.pid is not None:
                os.kill(self.pid, signal.SIGTERM)

    def wait_until_stopped(self, limit_s: float) -> int | None:
        """Return its exit code, after ask_to_stop(). Raises TimeoutError, and kills it."""
        if self._thread is not None:
            self._thread.join(limit_s)
            if self._thread.is_alive():
                self.kill_for_good()
                raise TimeoutError(f"{self.name} did not stop within {limit_s} s: {self.last_lines()}")
        return self._process.returncode if self._process is not None else None

    def restart(self, limit_s: float) -> None:
        """Stop it in good order and start it again. Raises TimeoutError."""
        self.ask_to_stop()
        self.wait_until_stopped(limit_s)
        self.start()

    def last_lines(self) -> str:
        """Return the end of what it wrote."""
        return self.log_path.read_text(errors="replace")[-2000:] if self.log_path.exists() else ""

    def _keep_running(self) -> None:
        while True:
            with self._lock:
                if self._is_over.is_set():
                    return
                self._process = self._launch()
            self._process.wait()
            if self._is_over.wait(RESTART_PAUSE_S):
                return

    def _launch(self) -> subprocess.Popen[bytes]:
        # -P: where the test runs is no place to import from
        command = leashed([sys.executable, "-P", "-m", self._module], signal.SIGKILL)
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
