"""Processes, read from /proc: who descends from whom, for leak checks and for killing; and what each of them takes."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the children of a process, also those that have ended and were not waited for."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.scandir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += map(int, Path(task.path, "children").read_text().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on; the nearest first."""
    found = children_of(pid)
    for child in found:  # grows as we go
        found += children_of(child)
    return found


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process and its descendants for a while. It is the first: then no child comes, or goes for good, in between."""
    stopped = [pid]
    os.kill(pid, signal.SIGSTOP)
    try:
        while _state(pid) not in {"T", ""}:
            time.sleep(0.001)
        for child in descendants_of(pid):
            os.kill(child, signal.SIGSTOP)
            stopped.append(child)
        yield
    finally:
        for one in reversed(stopped):
            os.kill(one, signal.SIGCONT)


def is_zombie(pid: int) -> bool:
    """Tell whether the process has ended and was not waited for (or is gone)."""
    return _state(pid) in {"Z", "X", ""}


def describe(pid: int) -> str:
    """Return the process's id, state and command line, as far as it still exists."""
    words = b""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    return f"{pid} ({_state(pid) or 'gone'}) {words.decode(errors='replace')[:200]}"


def _state(pid: int) -> str:
    with suppress(OSError):
        # the command's name, in parentheses, may hold anything
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def resident_mib(pid: int) -> int:
    """Return the memory that a process has, with what it shares: the second number of statm, in pages; see proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() // 2**20


def open_files(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
