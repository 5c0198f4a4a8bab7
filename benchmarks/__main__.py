"""`python -m benchmarks`: measure all contestants side by side and print the tables, in Markdown.

Exit code 1: an answer or a result was wrong, or a job got lost, and no figure counts.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.contestant import load_contestant
from benchmarks.engines import EngineSet
from benchmarks.environments import python_of, versions_of
from benchmarks.errors import BenchmarkError
from benchmarks.machine_lock import only_one
from benchmarks.programme import FULL, SMALL, Programme
from benchmarks.stack import Stack
from standalone.errors import StandaloneError
from tests.rabbitmq import is_rabbitmq_installed

PLACE: Final = Path(__file__).resolve().parents[1] / ".data" / "bench"
CONTESTANTS: Final = ("ours", "echo", "tutorial")


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help="larger sizes, for figures to publish: 20 minutes instead of 3")
    parser.add_argument("--rounds", type=int, help="counted rounds of each measurement")
    parser.add_argument("--only", choices=SMALL.names, action="append", help="leave out other measurements; may be repeated")
    options = parser.parse_args()
    programme = FULL if options.full else SMALL
    if options.rounds:
        programme = replace(programme, rounds=options.rounds)
    if options.only:
        programme = replace(programme, names=tuple(options.only))
    try:
        _run(programme)
    except (BenchmarkError, StandaloneError, TimeoutError) as error:
        print(f"FAILED, no figure counts: {error}", file=sys.stderr)
        return 1
    return 0


def _run(programme: Programme) -> None:
    if not is_rabbitmq_installed():
        raise BenchmarkError("RabbitMQ is not installed: apt-get install rabbitmq-server")
    load_before = os.getloadavg()[0]
    with only_one(PLACE):
        pythons = {name: python_of(name, PLACE / "environments") for name in CONTESTANTS}
        with _engines() as engines, ExitStack() as cleanup:
            stacks = []
            for name, python in pythons.items():
                contestant = load_contestant(name, python, engines.give(name))
                stacks.append(Stack(contestant, PLACE / "logs", lambda: engines.pids))
                cleanup.callback(stacks[-1].stop)
            print(f"# Benchmark\n\n{report.machine(load_before)}\n\n{_describe(stacks, engines)}\n", flush=True)
            for section in programme.measure(stacks):
                print(section, flush=True)


@contextmanager
def _engines() -> Iterator[EngineSet]:
    """Start the engines on empty directories; the sockets need a short path, the data the disk of the checkout."""
    for name in ("engines", "logs"):
        shutil.rmtree(PLACE / name, ignore_errors=True)
        (PLACE / name).mkdir()
    with tempfile.TemporaryDirectory(prefix="bench-") as run_path:
        try:
            with EngineSet(PLACE / "engines", Path(run_path)) as engines:
                yield engines
        finally:
            shutil.rmtree(PLACE / "engines", ignore_errors=True)


def _describe(stacks: Sequence[Stack], engines: EngineSet) -> str:
    rows = []
    for stack in stacks:
        versions = versions_of(stack.contestant.python, stack.contestant.packages)
        libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
        rows.append([stack.name, stack.contestant.title, libraries])
    servers = ", ".join(f"{name} {version}" for name, version in engines.versions().items())
    return f"{report.table(['contestant', 'set-up', 'libraries'], rows)}\n\n{servers}; fsync on; one RabbitMQ node for all."


if __name__ == "__main__":
    sys.exit(main())
