"""Servers that a killed run has left behind in its data directory."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

#: A database that was told to stop needs this long at most to write what it must.
PATIENCE_S: Final = 10.0


def servers_in(directory: Path, program: str) -> Iterator[int]:
    """Yield the ids of the processes of program that work in directory: servers stay in their data directory."""
    wanted = directory.resolve()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                process = Path(entry.path)
                if (process / "comm").read_text().strip() == program and (process / "cwd").readlink() == wanted:
                    yield int(entry.name)


def end_leftovers(directory: Path, program: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until no process of program works in directory any more; kill those that still do after patience_s."""
    deadline = time.monotonic() + patience_s
    while leftovers := list(servers_in(directory, program)):
        if time.monotonic() >= deadline:
            for pid in leftovers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
