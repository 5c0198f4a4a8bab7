"""A part is kept running, and ends when it is asked to. The parts here are small shell scripts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from standalone.console import Console
from standalone.errors import StandaloneError
from standalone.leash import leashed
from standalone.part import Part, Pauses

LIMIT_S = 10.0
QUICK = Pauses(shortest_s=0.01, longest_s=0.05, well_after_s=30.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the scripts write into."""
    path = tmp_path / "log"
    path.touch()
    return path


@asynccontextmanager
async def _running(script: str, log: Path, pauses: Pauses = QUICK) -> AsyncIterator[tuple[Part, asyncio.Task[None]]]:
    """Run a script as a part; its output goes to the log too."""
    descriptor = os.open(log.with_name("output"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    console = Console(descriptor, "console", is_coloured=False)
    command = ["/bin/sh", "-c", script, "sh", str(log)]
    part = Part("stub", lambda: leashed(command, signal.SIGKILL), dict(os.environ), console, pauses)
    task = asyncio.create_task(part.keep_running())
    try:
        yield part, task
    finally:
        part.kill()
        with suppress(StandaloneError):
            await task
        console.close()
        os.close(descriptor)


async def _until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not is_true():  # noqa: ASYNC110  # a file of another process
            await asyncio.sleep(0.005)


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def test_part_that_ends_is_started_again(log: Path) -> None:
    async def story() -> None:
        async with _running('echo begun >> "$1"', log):
            await _until(lambda: len(_lines(log)) >= 3)

    asyncio.run(story())


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_long_life() -> None:
    pauses = Pauses(shortest_s=0.5, longest_s=10.0, well_after_s=30.0)
    seen = [0.0]
    for _ in range(7):
        seen.append(pauses.next_s(seen[-1], lived_s=1.0))
    assert seen[1:] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pauses.next_s(10.0, lived_s=31.0) == 0.5


def test_stop_lets_the_part_end_in_good_order_and_does_not_start_it_again(log: Path) -> None:
    script = """trap 'echo ended >> "$1"; exit 0' TERM; echo begun >> "$1"; while :; do sleep 0.01; done"""

    async def story() -> None:
        async with _running(script, log) as (part, task):
            await _until(lambda: _lines(log) == ["begun"])
            part.stop()
            async with asyncio.timeout(LIMIT_S):
                await task
            assert _lines(log) == ["begun", "ended"]

    asyncio.run(story())


def test_stop_during_a_pause_ends_it_at_once(log: Path) -> None:
    async def story() -> None:
        pauses = Pauses(shortest_s=60.0, longest_s=60.0)
        async with _running('echo begun >> "$1"', log, pauses) as (part, task):
            await _until(lambda: _lines(log) == ["begun"] and not part.is_running)
            part.stop()
            async with asyncio.timeout(LIMIT_S):
                await task

    asyncio.run(story())


def test_restart_starts_it_again_without_a_pause(log: Path) -> None:
    async def story() -> None:
        pauses = Pauses(shortest_s=60.0, longest_s=60.0)
        async with _running('echo begun >> "$1"; exec sleep 60', log, pauses) as (part, _):
            await _until(lambda: _lines(log) == ["begun"])
            part.restart()
            await _until(lambda: _lines(log) == ["begun", "begun"])

    asyncio.run(story())


def test_part_that_refuses_its_configuration_at_the_start_is_not_started_again(log: Path) -> None:
    async def story() -> None:
        async with _running('echo begun >> "$1"; echo "no such module: shop"; exit 78', log) as (_, task):
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(StandaloneError, match="stub cannot start: no such module: shop"):
                    await task
            assert _lines(log) == ["begun"]

    asyncio.run(story())


def test_part_that_refuses_its_configuration_later_is_started_again(log: Path) -> None:
    async def story() -> None:
        async with _running('echo begun >> "$1"; sleep 0.1; exit 78', log) as (part, _):
            part.is_new = False
            await _until(lambda: len(_lines(log)) >= 2)

    asyncio.run(story())


def test_children_of_a_part_that_died_are_killed(log: Path) -> None:
    async def story() -> None:
        async with _running('sleep 60 & echo $! >> "$1"; exit 1', log):
            await _until(lambda: len(_lines(log)) >= 2)
            first = int(_lines(log)[0])
            await _until(lambda: _has_ended(first))

    asyncio.run(story())


def test_output_is_shown_with_the_name_of_the_part(log: Path) -> None:
    script = 'echo "it works"; printf "no end of line"; echo begun >> "$1"; exec sleep 60'

    async def story() -> None:
        async with _running(script, log) as (part, task):
            await _until(lambda: _lines(log) == ["begun"])
            part.stop()
            await task

    asyncio.run(story())
    assert log.with_name("output").read_text().splitlines() == ["stub       │ it works", "stub       │ no end of line"]


def test_each_part_is_in_a_session_of_its_own(log: Path) -> None:
    async def story() -> None:
        async with _running('echo $$ >> "$1"; exec sleep 60', log):
            await _until(lambda: _lines(log))
            pid = int(_lines(log)[0])
            assert os.getsid(pid) == pid

    asyncio.run(story())


def _has_ended(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
