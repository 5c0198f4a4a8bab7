"""The database's disk fills up under load. Nothing new is taken; when there is room again, all goes on."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import ENGINES
from tests.engines import EngineProcess, private_postgres, wait_until
from tests.faults.ground import DURABLE, Ground
from tests.faults.report import Report

RATE: Final = 50
FULL_S: Final = 20
JOBS: Final = (FULL_S + 10) * RATE
DISK_MIB: Final = 256
#: Enough that the log of a few seconds needs new files.
SMALL_LOG: Final = {"max_wal_size": "48MB", "min_wal_size": "32MB"}

pytestmark = [pytest.mark.full_only, pytest.mark.timeout(300)]


def test_full_disk_of_the_database(ground: Ground, engine_directory: Path, report: Report) -> None:
    """Needs root, for a small file system."""
    with ExitStack() as ends:
        disk = ends.enter_context(_small_disk(engine_directory / "disk"))
        database = ends.enter_context(_database_on(disk, ground.config))
        faulty = Ground(ground.config, ground.broker, database, ground.directory).start(ends)
        with faulty.load("full-disk", JOBS, rate=RATE) as load:
            faulty.checker.wait_finished(RATE)
            with _filled(disk):
                load.wait_refused(limit_s=FULL_S)
                time.sleep(FULL_S)
            database.start()  # it may have given up: there was no room for its log
            wait_until(faulty.stack.client.is_ready, 30.0, "the service is ready")
            verdict = faulty.conclude(load, time.time(), extra_executions_bound=len(faulty.stack.workers))
        report.add(
            f"disk of the database full for {FULL_S} s under {RATE} jobs/s",
            faulty.broker.engine.name,
            verdict,
            refusals=load.refusals_text,
            slowest_answer=f"{load.slowest_s:.2f} s",
        )
        assert verdict.is_good, verdict
        assert set(load.refusals) == {"503"}


@contextmanager
def _small_disk(mount_point: Path) -> Iterator[Path]:
    mount_point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0755", "tmpfs", str(mount_point)], check=True)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=True)


@contextmanager
def _database_on(disk: Path, config: pytest.Config) -> Iterator[EngineProcess]:
    process = private_postgres(disk, {**DURABLE, **SMALL_LOG})
    config.stash[ENGINES].append(process)
    yield process.start()
    process.kill()


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024 * 1024))
        except OSError as error:
            if error.errno != ENOSPC:
                raise
    yield
    ballast.unlink()
