"""A rolling upgrade under load: the parts of the commit before beside those of now, on a schema that is newer still."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.engines import wait_until
from tests.faults.faulty_stack import FaultyStack
from tests.faults.ground import TASKS, StartFaulty
from tests.faults.load import Load
from tests.faults.previous_code import NoHistoryError, write_previous_code
from tests.faults.report import Report
from tests.faults.sizes import on_each_broker, size
from tests.later_code import make_later_code
from tests.stack import READY_LIMIT_S, ROOT, STOP_LIMIT_S, Stack
from tests.supervised import SupervisedPart

JOBS: Final = size(300, 6_000)
#: Each step begins with so much of the load newly submitted; the last share comes when all is new.
STEPS: Final = 6

MIGRATION: Final = "ALTER TABLE jobs ADD COLUMN later integer NOT NULL DEFAULT 0;"
WORKERS: Final = "SELECT DISTINCT split_part(worker, ':', 2)::integer FROM attempts WHERE outcome = 'SUCCESS'"

BEATING: Final = "SELECT split_part(instance_id, ':', 2)::integer FROM instances"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory with the code of the commit before, and that commit."""
    directory = tmp_path_factory.mktemp("old")
    try:
        return directory, write_previous_code(directory)
    except NoHistoryError as error:
        pytest.skip(str(error))


@on_each_broker(short="rabbitmq")
def test_rolling_upgrade_loses_nothing(
    start_faulty: StartFaulty, old_code: tuple[Path, str], tmp_path: Path, report: Report
) -> None:
    code, commit = old_code
    faulty = start_faulty(lambda _database, _broker: {"": {"PYTHONPATH": f"{code}:{ROOT}"}})
    later = make_later_code(tmp_path / "later", MIGRATION)
    with later_stack(faulty, later, tmp_path / "logs") as new, faulty.load("upgrade", JOBS) as load:
        steps, url = Steps(load), faulty.stack.database_url
        steps.take(lambda: migrate(url, later))
        old_pids = {worker.pid for worker in faulty.stack.workers}
        pairs = list(zip(faulty.stack.workers, new.workers, strict=True))
        for some in (pairs[:2], pairs[2:]):
            steps.take(partial(replace_parts, url, some))
        steps.take(lambda: replace_parts(url, [(faulty.stack.scheduler, new.scheduler)]))
        steps.take(lambda: exchange_api(faulty.stack.api, new.api))
        wait_until(faulty.stack.client.is_ready, READY_LIMIT_S, "the later api is ready")
        upgraded_at = time.time()
        load.release()
        verdict = faulty.conclude(load, upgraded_at, extra_executions_bound=0)
        answer = f"{load.slowest_s:.2f} s"
        report.add("rolling upgrade under load", faulty.broker.engine.name, verdict, slowest_answer=answer, old_code=commit)
        assert verdict.is_good, verdict
        assert_worked_side_by_side(url, old_pids, {worker.pid for worker in new.workers})
        assert serious(faulty.stack) + serious(new) == []


class Steps:
    """The steps of the upgrade, each under its share of the load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._number = 0

    def take(self, step: Callable[[], None]) -> None:
        """Submit while the step is taken; return when both are done."""
        self._number += 1
        self._load.release(self._number / STEPS)
        step()
        self._load.wait_accepted(self._number / STEPS)


@contextmanager
def later_stack(faulty: FaultyStack, code: Path, directory: Path) -> Iterator[Stack]:
    """Give the parts of the later code, none started, whose api takes the place of the present one; and end them."""
    present = faulty.stack
    environment = {
        **TASKS,
        "EFFECTS_LOG": str(present.api.log_path.parent.with_suffix(".effects")),
        "PYTHONPATH": f"{code}:{ROOT}",
        "PORT": present.client.url.rpartition(":")[2],
    }
    stack = Stack(directory, present.database_url, present.broker_url, environment)
    try:
        yield stack
    finally:
        stack.kill()


def migrate(database_url: str, code: Path) -> None:
    environment = {"PYTHONPATH": f"{code}:{ROOT}", "DATABASE_URL": database_url, "BROKER_URL": "redis://localhost"}
    subprocess.run(
        [sys.executable, "-P", "-m", "core.migrations"], cwd="/", env=environment, check=True, capture_output=True
    )


def replace_parts(database_url: str, pairs: Sequence[tuple[SupervisedPart, SupervisedPart]]) -> None:
    """Start the new ones beside the old ones, and when they are at work stop the old ones as a supervisor does."""
    for _, new in pairs:
        new.start()
    wait_until(lambda: {new.pid for _, new in pairs} <= beating(database_url), READY_LIMIT_S, "the later parts beat")
    for old, _ in pairs:
        stop(old)


def exchange_api(old: SupervisedPart, new: SupervisedPart) -> None:
    """Stop the old one first: the two want the same port."""
    stop(old)
    new.start()


def stop(part: SupervisedPart) -> None:
    part.ask_to_stop()
    assert part.wait_until_stopped(STOP_LIMIT_S) == 0, part.last_lines()


def beating(database_url: str) -> set[int]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return {row[0] for row in connection.execute(BEATING)}


def assert_worked_side_by_side(database_url: str, old_pids: set[int | None], new_pids: set[int | None]) -> None:
    with psycopg.connect(database_url) as connection:
        pids = {row[0] for row in connection.execute(WORKERS)}
    assert pids & old_pids
    assert pids & new_pids
    assert pids <= old_pids | new_pids


def serious(stack: Stack) -> list[str]:
    """Return what the parts have logged as an error."""
    lines = [(part.name, line) for part in stack.parts if part.log_path.exists() for line in stack.logged(part)]
    return [f"{name}: {line}" for name, line in lines if line["level"] in {"error", "critical"}]
