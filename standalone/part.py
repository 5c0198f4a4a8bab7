"""One part of the system, kept running: what dies is started again, after a pause that grows while it keeps dying."""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from standalone.child import Child, Sink, start_child
from standalone.console import Console
from standalone.engines import Engine
from standalone.errors import EX_CONFIG, StandaloneError
from standalone.events import Event

#: An engine that ends so often before it was ever ready will not start at all.
_START_TRIES: Final = 3
_READY_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a part is started again, in seconds: doubled each time, from shortest to longest."""

    shortest_s: float = 0.5
    longest_s: float = 10.0
    #: A part that has lived so long is well: the next pause is the shortest again.
    well_after_s: float = 30.0

    def next_s(self, last_s: float, lived_s: float) -> float:
        """Return the pause after a part has died; last_s is the pause before (0: none)."""
        if lived_s >= self.well_after_s or last_s == 0:
            return self.shortest_s
        return min(self.longest_s, 2 * last_s)


DEFAULT_PAUSES: Final = Pauses()


class Part:
    """A process with a name that is started again whenever it ends."""

    def __init__(
        self,
        name: str,
        command: Callable[[], list[str]],
        environment: Mapping[str, str],
        console: Console,
        pauses: Pauses = DEFAULT_PAUSES,
    ) -> None:
        self.name: Final = name
        #: As long as this is true, a part that refuses its configuration stops everything.
        self.is_new = True
        self._command = command
        self._environment = environment
        self._console = console
        self._pauses = pauses
        self._child: Child | None = None
        self._is_stopping = False
        self._is_restarting = False
        self._is_asked_to_end = False
        self._woken = asyncio.Event()

    @property
    def is_running(self) -> bool:
        """It has a process now."""
        return self._child is not None

    @property
    def is_restarting(self) -> bool:
        """It was asked to start again, and its process of before has not ended yet."""
        return self._is_restarting

    async def keep_running(self) -> None:
        """Run it until stop(). Raises StandaloneError if it makes no sense to go on."""
        pause_s = 0.0
        while not self._is_stopping:
            started = time.monotonic()
            self._woken.clear()
            self._is_asked_to_end = False
            code, last_words = await self._run_once()
            if self._is_stopping:
                return
            if self._is_restarting:
                self._is_restarting = False
                continue
            self._judge(code, last_words)
            pause_s = self._pauses.next_s(pause_s, time.monotonic() - started)
            self._report(code, pause_s)
            await self._pause(pause_s)

    def stop(self) -> None:
        """Ask it to end, and do not start it again."""
        self._is_stopping = True
        self._end()

    def restart(self) -> None:
        """Ask it to end, and start it again at once."""
        self._is_restarting = self._child is not None
        self._end()

    def kill(self) -> None:
        """End it at once, and do not start it again."""
        self._is_stopping = True
        self._woken.set()
        if self._child is not None:
            self._child.kill()

    async def _run_once(self) -> tuple[int, str]:
        return await self._run_child(self._show)

    async def _run_child(self, output: Sink | Path) -> tuple[int, str]:
        """Start a child, wait for its end; return its exit code and its last words."""
        self._child = child = await start_child(self._command(), self._environment, output)
        try:
            if self._is_stopping:  # asked for while it was started
                self._end()
            return await child.wait(), child.last_words
        finally:
            self._child = None

    async def _show(self, lines: list[bytes]) -> None:
        await self._console.show(self.name, lines)

    def _end(self) -> None:
        self._woken.set()
        if self._child is not None and not self._is_asked_to_end:  # a second signal may mean: at once
            self._is_asked_to_end = True
            self._child.send(self._stop_signal)

    @property
    def _stop_signal(self) -> signal.Signals:
        return signal.SIGTERM

    def _judge(self, code: int, last_words: str, /) -> None:
        if code == EX_CONFIG and self.is_new:
            raise StandaloneError(f"{self.name} cannot start: {last_words}")

    def _report(self, code: int, pause_s: float) -> None:
        how = f"was ended by a signal ({signal.strsignal(-code)})" if code < 0 else f"ended with code {code}"
        self._console.say(
            Event.PART_ENDED,
            f"{self.name} {how}; it starts again in {pause_s:g} s",
            name=self.name,
            code=code,
            pause_s=pause_s,
        )

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()


class EnginePart(Part):
    """An engine; its output goes to a file."""

    def __init__(
        self, engine: Engine, environment: Mapping[str, str], console: Console, pauses: Pauses = DEFAULT_PAUSES
    ) -> None:
        super().__init__(engine.name, engine.command, environment, console, pauses)
        self._engine = engine
        self._is_ready = asyncio.Event()
        self._failed_starts = 0

    async def wait_until_ready(self) -> None:
        """Return when it serves. Its end while we wait is keep_running()'s business."""
        await self._is_ready.wait()

    async def wait_until_gone(self) -> None:
        """Return when none of its processes is left; call it after keep_running() has returned."""
        await asyncio.to_thread(self._engine.end_leftovers)

    async def _run_once(self) -> tuple[int, str]:
        self._is_ready.clear()
        await asyncio.to_thread(self._engine.prepare)
        if self._is_stopping:
            return 0, ""
        watching = asyncio.create_task(self._watch_readiness())
        try:
            return await self._run_child(self._engine.log_path)
        finally:
            watching.cancel()

    async def _watch_readiness(self) -> None:
        while not self._engine.is_ready():  # noqa: ASYNC110  # another process does not set an Event of ours
            await asyncio.sleep(_READY_POLL_S)
        self._failed_starts = 0
        self.is_new = False
        self._is_ready.set()

    @property
    def _stop_signal(self) -> signal.Signals:
        return self._engine.stop_signal

    def _judge(self, _code: int, _last_words: str, /) -> None:
        if self._is_ready.is_set():
            return
        self._failed_starts += 1
        if (repair := self._engine.repair()) is not None:
            self._console.say(Event.ENGINE_REPAIRED, repair, name=self.name)
        elif self.is_new and self._failed_starts >= _START_TRIES:
            raise StandaloneError(
                f"{self.name} does not start: {last_line(self._engine.log_path)} ({self._engine.log_path})"
            )


def last_line(path: Path) -> str:
    """Return the last line of a log that is not empty."""
    with suppress(OSError):
        return next((line for line in reversed(path.read_text(errors="replace").splitlines()) if line.strip()), "")
    return ""
