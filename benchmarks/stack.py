"""A contestant that runs: its processes, its load, and the processor time of all its parts."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.contestant import Batching, Command, Contestant, Sum
from benchmarks.errors import BenchmarkError, PeerLossError
from benchmarks.load import Load, LoadResult, run_load
from standalone.leash import leashed
from tests.processes import descendants_of
from tests.rabbitmq import free_ports

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 15.0
#: A drain in which nothing is finished for so long has lost a job.
STALL_LIMIT_S: Final = 20.0

#: How long it takes at most to notice the end of a drain, and how long nobody looks while that is far.
LOOK_S: Final = 0.02
LONGEST_LOOK_S: Final = 1.0

#: How cpu_s names this process.
LOAD_GENERATOR: Final = "load generator"

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE")


class Stack:
    """One contestant and its processes, each in a session of its own and gone when this process ends."""

    def __init__(self, contestant: Contestant, log_path: Path, engine_pids: Callable[[], Mapping[str, set[int]]]) -> None:
        self.contestant = contestant
        self.queue = contestant.open_queue()
        self._log_path = log_path
        self._engine_pids = engine_pids
        self.port = free_ports(1)[0]
        self._processes: dict[str, list[subprocess.Popen[bytes]]] = {}

    @property
    def name(self) -> str:
        """The contestant's."""
        return self.contestant.name

    @property
    def batching(self) -> Batching:
        """The contestant, for what only ours is asked for."""
        assert isinstance(self.contestant, Batching)
        return self.contestant

    def start_api(self) -> None:
        """Start all but the workers and return when a submission is answered with 2xx."""
        for command in self.contestant.api(self.port):
            self._start(command)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._is_serving():
            self.check_alive()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name}: no submission was accepted within {START_LIMIT_S:g} s")
            time.sleep(0.05)

    def start_workers(self) -> None:
        """Start what runs the jobs."""
        for command in self.contestant.workers():
            self._start(command)

    def pause_workers(self) -> None:
        """Stop the workers where they are, so that jobs pile up and warm processes can go on with them."""
        self._signal_workers(signal.SIGSTOP)

    def resume_workers(self) -> None:
        """Let them run again, all at once."""
        self._signal_workers(signal.SIGCONT)

    def send(self, connections: int, count: int | None = None, duration_s: float | None = None) -> LoadResult:
        """Submit jobs over HTTP, up to count or until duration_s is over."""
        return self._load(lambda index: self.contestant.submission(Sum(index)), connections, count, duration_s)

    def send_requests(self, requests: Sequence[bytes], connections: int) -> LoadResult:
        """Send each of these once."""
        return self._load(requests.__getitem__, connections, len(requests))

    def ask(self, task_ids: Sequence[str], connections: int, duration_s: float | None = None) -> LoadResult:
        """Ask for the status of each job over HTTP, once, or in turn until duration_s is over."""
        requests = [self.contestant.status(task_id) for task_id in task_ids]
        count = len(requests) if duration_s is None else None
        return self._load(lambda index: requests[index % len(requests)], connections, count, duration_s)

    def wait_until_finished(self, count: int) -> None:
        """Return when the outcomes of all `count` jobs can be read. Raises BenchmarkError if a job got lost."""
        began_at = progress_at = time.monotonic()
        finished = 0
        while finished < count:
            # Counting costs the store, and more the fuller it is: so seldom, until the end is near. The first look sees the
            # workers begin, and would make it seem far.
            elapsed_s = time.monotonic() - began_at
            rest_s = elapsed_s * (count / finished - 1) if finished else 0.0
            time.sleep(max(LOOK_S, min(rest_s / 2, elapsed_s / 4, LONGEST_LOOK_S)))
            before, finished = finished, self.contestant.count_finished()
            if finished != before:
                progress_at = time.monotonic()
            elif time.monotonic() > progress_at + STALL_LIMIT_S:
                self.check_alive()
                kind = BenchmarkError if self.contestant.is_ours else PeerLossError
                raise kind(f"{self.name}: {count - finished:,} of {count:,} jobs never finished")

    def clear(self) -> None:
        """Forget all jobs."""
        self.contestant.clear()
        if self.queue is not None:
            self.queue.purge()

    @property
    def pids(self) -> Mapping[str, set[int]]:
        """The processes of each part, and of each engine that it needs, that were started here; others descend from them."""
        roots = {part: {process.pid for process in processes} for part, processes in self._processes.items()}
        engines = {name: pids for name, pids in self._engine_pids().items() if name in self.contestant.engine_names}
        return {**roots, **engines}

    def cpu_s(self) -> dict[str, float]:
        """Return the processor seconds spent so far by each part, each engine, and this process."""
        spent = {part: sum(map(_tree_cpu_s, pids)) for part, pids in self.pids.items()}
        return {**spent, LOAD_GENERATOR: time.process_time()}

    def check_alive(self) -> None:
        """Raise BenchmarkError if a process has ended."""
        for part, processes in self._processes.items():
            if any(process.poll() is not None for process in processes):
                raise BenchmarkError(f"{self.name}: {part} has ended: {self._log(part).read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End all processes in good order; kill what has not ended after STOP_LIMIT_S."""
        self.resume_workers()
        running = [process for processes in reversed(self._processes.values()) for process in processes]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_LIMIT_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill_tree(process.pid)
                process.wait()
        self._processes.clear()

    def _start(self, command: Command) -> None:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(command.environment)
        line = leashed(list(command.arguments), signal.SIGTERM)
        with self._log(command.part).open("ab") as log:
            self._processes.setdefault(command.part, []).extend(
                subprocess.Popen(
                    line, cwd=self.contestant.path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )
                for _ in range(command.count)
            )  # fmt: skip

    def _log(self, part: str) -> Path:
        return self._log_path / f"{self.name}-{part}.log"

    def _is_serving(self) -> bool:
        with suppress(OSError):
            return all(answer.is_success for answer in self.send(1, count=1).answers)
        return False

    def _signal_workers(self, number: signal.Signals) -> None:
        for command in self.contestant.workers():
            for process in self._processes.get(command.part, ()):
                for pid in (process.pid, *descendants_of(process.pid)):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)

    def _load(
        self, request: Callable[[int], bytes], connections: int, count: int | None, duration_s: float | None = None
    ) -> LoadResult:
        return uvloop.run(run_load(Load(self.port, request, connections, count, duration_s)))


def _tree_cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its descendants, those that have ended included (proc_pid_stat(5))."""
    ticks = 0
    for member in (pid, *descendants_of(pid)):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / _TICKS_PER_S


def _kill_tree(pid: int) -> None:
    for member in (pid, *descendants_of(pid)):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
