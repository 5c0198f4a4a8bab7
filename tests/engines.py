"""Private database and brokers for tests: each in a session of its own, and gone with the test run, however that ends."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, Self

from standalone.engines import Engine, Postgres, Valkey
from tests.processes import descendants_of

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 20.0

#: PostgreSQL that survives the death of its processes, not of the machine.
FAST_POSTGRES: Final = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
VALKEY_DATABASES: Final = 256


class Started(Protocol):
    """What the test run has started, and ends at its own end: an engine, or a whole service."""

    @property
    def pids(self) -> set[int]:
        """All processes of it that the test run started itself."""

    def kill(self) -> None:
        """kill -9 it and all its processes, at once."""


class EngineProcess:
    """One engine that a test can stop, kill, start again and empty."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients reach it; the same after a restart."""
        return self.engine.url

    @property
    def pid(self) -> int | None:
        """Its main process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def pids(self) -> set[int]:
        """All processes of it that the test run started itself."""
        return {self.pid} if self.pid else set()

    def begin_start(self) -> None:
        """Start it and do not wait. Call it in a thread that lives on: the engine dies with the thread."""
        self.engine.prepare()
        self.engine.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.engine.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.engine.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )

    def start(self) -> Self:
        """Start it if it does not run, and return when it serves.

        Raises TimeoutError or RuntimeError, with its last lines.
        """
        if self.pid is None:
            self.begin_start()
        deadline = time.monotonic() + START_LIMIT_S
        while not self.engine.is_ready():
            if self.pid is None:
                raise RuntimeError(f"{self.engine.name} ended while it started: {self._last_lines()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.engine.name} was not ready within {START_LIMIT_S} s: {self._last_lines()}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it in good order, within 20 s."""
        if self._process is None:
            return
        self._process.send_signal(self.engine.stop_signal)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.engine.end_leftovers()

    def kill(self) -> None:
        """kill -9 it and all its processes, at once."""
        if self._process is None:
            return
        for pid in (self._process.pid, *descendants_of(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(STOP_LIMIT_S)
        self.engine.end_leftovers()

    def restart(self) -> None:
        """Stop it in good order and start it again."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Kill it and delete all that it knew; start() brings it up empty."""
        self.kill()
        shutil.rmtree(self.engine.data_path)

    def __enter__(self) -> Self:
        """Start it, for `with`."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Kill it: nobody needs its data any more."""
        self.kill()

    def _last_lines(self) -> str:
        return self.engine.log_path.read_text(errors="replace")[-2000:]


def private_postgres(root: Path, settings: dict[str, str] | None = None) -> EngineProcess:
    """Return a PostgreSQL below root, not yet started; root must be short, for its socket."""
    run_path = make_directory(root / "run")
    return EngineProcess(Postgres(root / "postgres", run_path, root / "postgres.log", {**FAST_POSTGRES, **(settings or {})}))


def private_valkey(root: Path) -> EngineProcess:
    """Return a Valkey below root, not yet started; root must be short, for its socket."""
    options = ["--databases", str(VALKEY_DATABASES)]
    return EngineProcess(Valkey(root / "valkey", make_directory(root / "run"), root / "valkey.log", options))


def wait_until(is_true: Callable[[], object], limit_s: float, claim: str, pause_s: float = 0.01) -> None:
    """Return when is_true() holds; ask each pause_s seconds. Raises TimeoutError that names the claim."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s} s: {claim}")
        time.sleep(pause_s)


def make_directory(directory: Path) -> Path:
    """Make a directory if need be, and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory
