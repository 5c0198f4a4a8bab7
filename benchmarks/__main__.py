"""`python -m benchmarks`: measure all contestants side by side and print the tables, in Markdown.

Exit code 1: an answer or a result was wrong, or a job got lost, and no figure counts.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import report, results
from benchmarks.against import LEAST_PAIRS, MEASURES, compare
from benchmarks.contestant import load_contestant
from benchmarks.engines import EngineSet
from benchmarks.environments import python_of, versions_of
from benchmarks.errors import BenchmarkError
from benchmarks.findings import Findings, targets_table
from benchmarks.losses import losses_section, measure_again_if_lost
from benchmarks.machine_lock import only_one
from benchmarks.memory import IDLE_LOOKS, WHOLE, measure_footprint
from benchmarks.programme import FULL, SMALL, Programme
from benchmarks.stack import Stack
from benchmarks.work_tree import work_tree
from standalone.errors import StandaloneError
from tests.rabbitmq import is_rabbitmq_installed

PLACE: Final = Path(__file__).resolve().parents[1] / ".data" / "bench"
CONTESTANTS: Final = ("ours", "standalone", "echo", "tutorial", "taskiq", "procrastinate")
MORE_CONTESTANTS: Final = ("arq", "dramatiq", "celery_fastapi")


@dataclass(frozen=True, slots=True)
class Plan:
    """The command line, checked."""

    programme: Programme
    contestants: Sequence[str]
    form: str
    is_written: bool
    #: The commit to compare with, in so many pairs; empty: others are compared.
    against: str = ""
    pairs: int = LEAST_PAIRS


def main() -> int:
    """Return the exit code."""
    try:
        _run(parse_plan(sys.argv[1:]))
    except (BenchmarkError, StandaloneError, TimeoutError) as error:
        print(f"FAILED, no figure counts: {error}", file=sys.stderr)
        return 1
    return 0


def parse_plan(arguments: Sequence[str]) -> Plan:
    """Read the command line. Exits with one sentence on stderr if it cannot be understood."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0] if __doc__ else None)
    known = (*CONTESTANTS, *MORE_CONTESTANTS)
    parser.add_argument(
        "--full", action="store_true", help="larger sizes, for figures to publish: an hour instead of 6 minutes"
    )
    parser.add_argument("--all", action="store_true", help=f"these contestants too: {', '.join(MORE_CONTESTANTS)}")
    parser.add_argument("--only", choices=SMALL.names, action="append", help="leave out other measurements; may be repeated")
    parser.add_argument("--contestant", choices=known, action="append", help="leave out other contestants; may be repeated")
    parser.add_argument("--rounds", type=int, help="counted rounds of each measurement")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the picture, as --full does")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help=f"compare with an earlier commit instead, in {LEAST_PAIRS} alternating pairs or --rounds of them",
    )
    options = parser.parse_args(arguments)
    if options.against:
        return _plan_against(parser, options)
    programme = FULL if options.full else SMALL
    if options.rounds:
        programme = replace(programme, rounds=options.rounds, growth_rounds=options.rounds)
    if options.only:
        programme = replace(programme, names=tuple(options.only))
    wanted = options.contestant or (known if options.all else CONTESTANTS)
    contestants = [name for name in known if name in wanted]
    is_whole = not (options.only or options.contestant)
    is_written = options.write or (options.full and is_whole)
    return Plan(programme, contestants, "full" if options.full else "small", is_written)


def _plan_against(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    names = tuple(options.only or MEASURES)
    if not set(names) <= set(MEASURES):
        parser.error(f"--against measures {', '.join(MEASURES)}")
    if options.full or options.all or options.contestant or options.write:
        parser.error("--against goes with --only and --rounds alone")
    pairs = options.rounds or LEAST_PAIRS
    if pairs < LEAST_PAIRS:
        parser.error(f"--rounds must be at least {LEAST_PAIRS}: fewer pairs say too little")
    programme = replace(SMALL, names=tuple(name for name in MEASURES if name in names))
    return Plan(programme, (), "small", is_written=False, against=options.against, pairs=pairs)


def _run_against(plan: Plan) -> None:
    with only_one(PLACE), work_tree(plan.against, PLACE) as tree, _engines() as engines:
        print(f"{report.machine(os.getloadavg()[0])}\n", flush=True)
        for section in compare(tree, engines, PLACE / "logs", plan.programme.names, plan.pairs):
            print(section, flush=True)


def _run(plan: Plan) -> None:
    if not is_rabbitmq_installed():
        raise BenchmarkError("RabbitMQ is not installed: apt-get install rabbitmq-server")
    if plan.against:
        _run_against(plan)
        return
    findings, load_before = Findings(), os.getloadavg()[0]
    with only_one(PLACE):
        pythons = {name: python_of(name, PLACE / "environments") for name in plan.contestants}
        head, *sections = _print_each(_measure(plan.programme, pythons, findings, load_before))
        print(f"## What must be reached\n\n{targets_table(findings)}\n")
    if plan.is_written:
        form = (
            f"{plan.form} form"
            if report.is_idle(load_before)
            else f"{plan.form} form on a busy machine: not to be published"
        )
        results.write(findings, head, sections, form, date.today())  # noqa: DTZ011  # as the user's calendar says


def _measure(programme: Programme, pythons: Mapping[str, Path], findings: Findings, load_before: float) -> Iterator[str]:
    """Yield the head, then the tables of each measurement."""
    with _engines() as engines, ExitStack() as cleanup:
        stacks = []
        for name, python in pythons.items():
            contestant = load_contestant(name, python, engines.give(name))
            stacks.append(Stack(contestant, PLACE / "logs", lambda: engines.pids))
            cleanup.callback(stacks[-1].stop)
        yield f"{report.machine(load_before)}\n\n{_describe(stacks, engines)}"
        yield from programme.measure(stacks, findings)
    if "memory" in programme.names:
        yield _measure_memory(programme, pythons, findings)
    if findings.losses:
        yield losses_section(findings.losses)


def _measure_memory(programme: Programme, pythons: Mapping[str, Path], findings: Findings) -> str:
    alone = {WHOLE if name == "standalone" else name: python for name, python in pythons.items()}
    for name, python in alone.items():
        print(f"  memory: {name}", file=sys.stderr)
        measure = partial(measure_footprint, name, python, PLACE, programme.idle_s, programme.memory_jobs)
        findings.footprints[name] = measure_again_if_lost(measure, findings.losses)
    title = f"## Memory (PSS), and what runs when nothing is to do, {IDLE_LOOKS} times {programme.idle_s:g} s"
    return f"{title}\n\nEach alone, on engines of its own.\n\n{report.footprints(findings.footprints)}\n"


def _print_each(sections: Iterator[str]) -> Iterator[str]:
    for section in sections:
        print(f"{section}\n", flush=True)
        yield section


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
