"""Restart the parts when sources change, and only for tasks that can be loaded: what runs is better than nothing."""

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from standalone.child import run_to_end
from standalone.console import Console
from standalone.events import Event
from standalone.options import ROOT
from standalone.readiness import wait_for_readiness
from standalone.sources import Sources, source_roots
from standalone.system import HOST, System, part_command

#: A module that takes longer than this to import is taken for broken.
_REHEARSAL_LIMIT_S: Final = 30.0
_RESTART_POLL_S: Final = 0.05


class Reloading:
    """Follows the sources of a system; made before its parts start, so that no change falls between."""

    def __init__(self, system: System, port: int, console: Console) -> None:
        self._system = system
        self._port = port
        self._console = console
        self._sources = Sources(source_roots(ROOT, os.environ.get("TASK_MODULES") or "tasks"))

    async def follow_changes(self) -> None:
        """Restart the parts after each change of their sources; never returns."""
        telling: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            async for changed in self._sources.changes():
                started = time.monotonic()
                if not await self._is_loadable(changed):
                    continue
                if telling is not None:
                    telling.cancel()
                for part in self._system.parts:
                    part.restart()
                telling = group.create_task(self._tell_when_ready(started))

    async def _is_loadable(self, changed: Iterable[Path]) -> bool:
        """Load the tasks in a process of their own, and say what comes of it."""
        names = ", ".join(path.name for path in changed)
        problem = await rehearse(self._system)
        if problem:
            sentence = f"{names} changed, and the parts go on with the old code: {problem}"
            self._console.say(Event.SOURCES_REFUSED, sentence, files=names, problem=problem)
        else:
            self._console.say(Event.SOURCES_CHANGED, f"{names} changed: the parts start again", files=names)
        return not problem

    async def _tell_when_ready(self, started: float) -> None:
        # Old processes count as ready; they leave the database before they end.
        while any(part.is_restarting for part in self._system.parts):  # noqa: ASYNC110  # part.py has no event for it
            await asyncio.sleep(_RESTART_POLL_S)
        await wait_for_readiness(HOST, self._port, self._console)
        took_s = time.monotonic() - started
        self._console.say(Event.SERVICE_RELOADED, f"ready again in {took_s:.1f} s", took_s=round(took_s, 3))


async def rehearse(system: System, limit_s: float = _REHEARSAL_LIMIT_S) -> str:
    """Return why the tasks cannot be loaded, "" if they can."""
    try:
        async with asyncio.timeout(limit_s):
            code, last_words = await run_to_end(part_command("standalone.rehearsal"), system.environment, _leave_out)
    except TimeoutError:
        return f"importing the tasks takes longer than {limit_s:g} s"
    return "" if code == 0 else last_words or f"importing the tasks ended with code {code}"


async def _leave_out(_lines: list[bytes]) -> None:
    """What modules print when they are imported, the parts print again."""
