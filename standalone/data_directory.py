"""The directory that keeps the jobs, and the short-lived one for sockets; one run at a time has them."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from standalone.errors import StandaloneError

_RUN_PREFIX: Final = "task-service-"
#: As long as a directory for temporary files may be, so that the sockets' names still fit.
_LONGEST_TEMPORARY: Final = 60
#: An engine's log that has grown beyond this is put aside at the next start.
_LOG_LIMIT_BYTES: Final = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A data directory that is this run's alone."""

    path: Path
    run_path: Path

    @property
    def log_path(self) -> Path:
        """Where the engines' own logs are."""
        return self.path / "logs"


@contextmanager
def claim(path: Path) -> Iterator[DataDirectory]:
    """Take the directory, making it if need be; give it back at the end. Raises StandaloneError if it cannot be had."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        (path / "logs").mkdir(exist_ok=True, mode=0o700)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StandaloneError(
            f"the data directory {path} cannot be used ({error.strerror}): name another with --data-dir"
        ) from error
    with os.fdopen(lock, "r+") as file:
        _lock(file.fileno(), path)
        _forget_last_run(file.read())
        _put_aside_long_logs(path / "logs")
        run_path = _make_run_path()
        try:
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid(), "run_path": str(run_path)}, file)
            file.flush()
            yield DataDirectory(path, run_path)
        finally:
            shutil.rmtree(run_path, ignore_errors=True)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(OSError, ValueError, KeyError):
            pid = json.loads((path / "lock").read_text())["pid"]
            raise StandaloneError(
                f"the data directory {path} is in use by another run (pid {pid}): stop that one, "
                "or name another with --data-dir"
            ) from None
        raise StandaloneError(f"the data directory {path} is in use by another run: name another with --data-dir") from None


def _forget_last_run(note: str) -> None:
    """Remove the sockets' directory of a run that was killed; note is what it wrote into the lock."""
    with suppress(ValueError, KeyError):
        run_path = Path(json.loads(note)["run_path"])
        if run_path.name.startswith(_RUN_PREFIX):
            shutil.rmtree(run_path, ignore_errors=True)


def _put_aside_long_logs(directory: Path) -> None:
    for log in directory.glob("*.log"):
        if log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.old"))


def _make_run_path() -> Path:
    temporary = tempfile.gettempdir()
    directory = temporary if len(os.fsencode(temporary)) <= _LONGEST_TEMPORARY else "/tmp"  # noqa: S108  # mkdtemp is safe there
    return Path(tempfile.mkdtemp(prefix=_RUN_PREFIX, dir=directory))
