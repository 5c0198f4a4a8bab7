"""Bring the whole system up, keep it up, and take it down in an order in which nothing is lost."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final

from standalone.child import run_to_end
from standalone.console import Console
from standalone.errors import StandaloneError
from standalone.events import Event
from standalone.options import Options
from standalone.part import Part
from standalone.readiness import wait_for_readiness
from standalone.reloading import Reloading
from standalone.system import HOST, System, part_command

#: PostgreSQL that recovers after a crash may need this long.
_ENGINES_LIMIT_S: Final = 300.0
#: How long a group may take to stop before it is killed. Workers: as long as they drain, and this.
_STOP_LIMIT_S: Final = 15.0
_DEFAULT_DRAIN_S: Final = 30.0


class Supervisor:
    """Runs a System until it is asked to stop."""

    def __init__(self, system: System, options: Options, console: Console) -> None:
        self._system = system
        self._options = options
        self._console = console
        self._running: dict[Part, asyncio.Task[None]] = {}
        #: Done: asked to stop; or an exception: it cannot go on.
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hurry_asked = asyncio.Event()

    def ask_to_stop(self) -> None:
        """Stop in good order; asked again: at once."""
        if self._end.done():
            self._hurry_asked.set()
        else:
            self._end.set_result(None)

    async def run(self) -> bool:
        """Bring all up, wait until asked to stop, take all down; tell whether that was in good order.

        Raises StandaloneError if it could not be brought up.
        """
        story = self._begin(self._bring_up(), "story")
        try:
            await self._end
            self._console.say(Event.STOP_ASKED, "stopping: workers finish what they run; Ctrl-C again stops at once")
        finally:
            story.cancel()
            await self._take_down()
        self._console.say(Event.SERVICE_STOPPED, "stopped; nothing is left running")
        return not self._hurry_asked.is_set()

    def _begin(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task whose failure ends the run."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._note)
        return task

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._end.done():
            self._end.set_exception(error)

    async def _bring_up(self) -> None:
        started = time.monotonic()
        data = self._options.data_path
        self._console.say(Event.START_BEGUN, f"starting PostgreSQL and Valkey in {data}", data=str(data))
        await self._start_engines()
        await self._migrate()
        reloading = Reloading(self._system, self._options.port, self._console) if self._options.reload else None
        self._start(self._system.parts)
        await wait_for_readiness(HOST, self._options.port, self._console)
        for part in self._system.parts:
            part.is_new = False
        self._introduce(time.monotonic() - started)
        if reloading is not None:
            await reloading.follow_changes()

    async def _start_engines(self) -> None:
        self._start(self._system.engines)
        try:
            async with asyncio.timeout(_ENGINES_LIMIT_S):
                await asyncio.gather(*(engine.wait_until_ready() for engine in self._system.engines))
        except TimeoutError:
            raise StandaloneError(
                f"the engines did not get ready within {_ENGINES_LIMIT_S:g} s: see logs/ in the data directory"
            ) from None

    async def _migrate(self) -> None:
        command = part_command("core.migrations")
        code, last_words = await run_to_end(command, self._system.environment, self._show_migrations)
        if code != 0:
            raise StandaloneError(f"the database could not be brought up to date: {last_words or f'exit code {code}'}")

    async def _show_migrations(self, lines: list[bytes]) -> None:
        await self._console.show("migrations", lines)

    def _start(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._running[part] = self._begin(part.keep_running(), part.name)

    def _introduce(self, took_s: float) -> None:
        url = f"http://{HOST}:{self._options.port}"
        curl = f"""curl -X POST {url}/add -H 'content-type: application/json' -d '{{"x": 2, "y": 3}}'"""
        sentence = f"ready in {took_s:.1f} s: {url} (try it in the browser: {url}/docs)\n{curl}\n"
        if self._options.port != Options().port:  # the client's default too
            sentence += f"the client needs to know the port: ./dev client --url {url}, or TASK_SERVICE_URL={url}\n"
        sentence += "Ctrl-C stops everything"
        self._console.say(Event.SERVICE_STARTED, sentence, url=url, docs=f"{url}/docs", took_s=round(took_s, 3))

    async def _take_down(self) -> None:
        """Stop the groups one after the other: who serves another stops after it."""
        hurry = asyncio.create_task(self._hurry_asked.wait())
        drain_s = _number(os.environ.get("DRAIN_S"), _DEFAULT_DRAIN_S)
        await self._stop(self._system.workers, drain_s + _STOP_LIMIT_S, hurry)
        await self._stop(self._system.front, _STOP_LIMIT_S, hurry)
        await self._stop(self._system.engines, _STOP_LIMIT_S, hurry)
        await asyncio.gather(*(engine.wait_until_gone() for engine in self._system.engines if engine in self._running))
        hurry.cancel()

    async def _stop(self, parts: Sequence[Part], limit_s: float, hurry: asyncio.Task[bool]) -> None:
        tasks = {self._running[part] for part in parts if part in self._running}
        for part in parts:
            part.stop()
        deadline = time.monotonic() + limit_s
        while (pending := {task for task in tasks if not task.done()}) and not hurry.done() and time.monotonic() < deadline:
            await asyncio.wait({*pending, hurry}, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            part.kill()
        if tasks:
            await asyncio.wait(tasks)


def _number(text: str | None, default: float) -> float:
    try:
        return float(text or default)
    except ValueError:  # the parts say what is wrong with it
        return default


async def supervise(system: System, options: Options, console: Console) -> bool:
    """Run the system until SIGINT, SIGTERM or SIGHUP (a second one: at once); tell whether it stopped in good order."""
    supervisor = Supervisor(system, options, console)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.ask_to_stop)
    return await supervisor.run()
