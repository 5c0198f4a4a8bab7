"""A process and all that descends from it: a task may have forked, and what it forked is as much the attempt as itself."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def kill_family(pid: int) -> None:
    """kill -9 a process, which may be gone already, with its children, their children, and so on.

    Whoever is stopped can neither fork nor wait for a child: until all are killed, the ids that were read stay theirs. What
    made itself an orphan before is not found.
    """
    family = [pid]
    for member in family:  # grows as we go
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGSTOP)
            family += _children_of(member)
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # gone, or a kernel without CONFIG_PROC_CHILDREN
        for task in os.scandir(f"/proc/{pid}/task"):
            with suppress(OSError):  # a thread that has ended meanwhile
                found += map(int, Path(task.path, "children").read_text().split())
    return found
