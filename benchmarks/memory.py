"""Memory and idle processor time of each part: one contestant at a time, alone, on engines that have done nothing before."""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.checks import check_answers
from benchmarks.contestant import Contestant, adapter_of, load_contestant
from benchmarks.contestants.standalone.adapter import Whole
from benchmarks.engines import EngineSet
from benchmarks.measurements import CONNECTIONS
from benchmarks.samples import Window
from benchmarks.stack import LOAD_GENERATOR, Stack
from tests.processes import descendants_of

#: The name of the whole system that one command starts.
WHOLE: Final = "./dev run"
#: After a start or a drain, until what is left to do is done.
SETTLE_S: Final = 3.0

#: An idle system is looked at so often, and the median counts: it does so little that a neighbour doubles it.
IDLE_LOOKS: Final = 3

#: How the parts of the whole are told apart: by their command lines.
_LABELS: Final = {
    "postgres": re.compile(rb"^([^\0]*/)?postgres[\0:]"),
    "valkey": re.compile(rb"^[^\0]*valkey-server"),
    "api": re.compile(rb"\0-m\0api\0"),
    "scheduler": re.compile(rb"\0-m\0scheduler\0"),
    "worker": re.compile(rb"\0-m\0worker\0"),
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one contestant: MiB of PSS by part when idle and after the jobs, and processor seconds per second when idle, of all
    parts and engines, at each look.
    """

    idle_mib: Mapping[str, float]
    used_mib: Mapping[str, float]
    idle_cores: Sequence[float]
    jobs: int

    @property
    def idle_total_mib(self) -> float:
        """All parts and engines."""
        return sum(self.idle_mib.values())

    @property
    def used_total_mib(self) -> float:
        """The same after the jobs."""
        return sum(self.used_mib.values())


def measure_footprint(name: str, python: Path, place: Path, idle_s: float, jobs: int) -> Footprint:
    """Start one contestant alone, look at it idle, for idle_s each time, let it run the jobs, look again, and stop it."""
    with _alone(name, python, place) as stack:
        contestant = stack.contestant
        idle_cores = [_cores(stack, idle_s) for _ in range(IDLE_LOOKS)]
        idle_mib = _memory_mib(stack)
        before = contestant.count_finished() if contestant.runs_jobs else 0
        check_answers(contestant, stack.send(CONNECTIONS, count=jobs))
        if contestant.runs_jobs:
            stack.wait_until_finished(before + jobs)
        contestant.close()
        time.sleep(SETTLE_S)
        return Footprint(idle_mib, _memory_mib(stack), idle_cores, jobs)


def _cores(stack: Stack, duration_s: float) -> float:
    window = Window(stack)
    time.sleep(duration_s)
    spent = window.close().cpu_s_per_1000(1)
    return sum(cpu_s for part, cpu_s in spent.items() if part != LOAD_GENERATOR) / 1000 / duration_s


def pss_mib(pid: int) -> float:
    """Return a process's share of memory: its own, and its part of what it shares (proc_pid_smaps(5)); 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def label_of(command_line: bytes) -> str:
    """Return which part of the whole a process is; the supervisor has no mark of its own."""
    return next((label for label, pattern in _LABELS.items() if pattern.search(command_line)), "supervisor")


def _memory_mib(stack: Stack) -> dict[str, float]:
    found: dict[str, float] = {}
    for part, roots in stack.pids.items():
        for pid in {member for root in roots for member in (root, *descendants_of(root))}:
            label = part if stack.name != WHOLE else label_of(_command_line(pid))
            found[label] = found.get(label, 0.0) + pss_mib(pid)
    return found


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@contextmanager
def _alone(name: str, python: Path, place: Path) -> Iterator[Stack]:
    """Start the contestant and the engines that it needs, on a fresh directory."""
    data_path = place / "alone"
    shutil.rmtree(data_path, ignore_errors=True)
    data_path.mkdir()
    names = () if name == WHOLE else adapter_of(name).engine_names
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as run_path,
            EngineSet(data_path, Path(run_path), names) as engines,
        ):
            if name == WHOLE:
                contestant: Contestant = Whole(name, python, data_path / "standalone")
            else:
                contestant = load_contestant(name, python, engines.give(name))
            stack = Stack(contestant, place / "logs", lambda: engines.pids)
            try:
                _start(stack)
                yield stack
            finally:
                stack.stop()
    finally:
        shutil.rmtree(data_path, ignore_errors=True)


def _start(stack: Stack) -> None:
    stack.contestant.prepare()
    stack.start_api()
    stack.start_workers()
    if stack.contestant.runs_jobs:
        stack.wait_until_finished(1)  # the job that told that the api serves: now the workers run as well
    stack.clear()
    stack.contestant.close()
    time.sleep(SETTLE_S)
