"""The clock of one part steps by an hour. Only the database's clock says when a job is due."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.faults.faulty_stack import FaultyStack
from tests.faults.ground import StartFaulty
from tests.faults.links import Environments
from tests.faults.load import DELAYED_MIX
from tests.faults.report import Report
from tests.faults.sizes import IS_FULL, on_each_broker, size

JOBS: Final = size(60, 500)
STEPS: Final = ("+1h", "-1h")
PARTS: Final = ("api", "scheduler", "worker")
#: libfaketime looks at its file this often.
LOOKS_EACH_S: Final = 1
TOLERANCE_S: Final = 600

pytestmark = pytest.mark.timeout(size(180, 900))


class Clocks:
    """A clock for each module's parts, which can be set while they run; made by libfaketime, which they load."""

    def __init__(self, directory: Path) -> None:
        self._files = {part: directory / f"clock-of-{part}" for part in PARTS}
        for file in self._files.values():
            file.write_text("+0\n")

    def environments(self, _database_url: str, _broker_url: str) -> Environments:
        """Return what makes parts look at these clocks. Intervals stay right, as when a real clock is set."""
        library = {"LD_PRELOAD": _library(), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        library |= {"FAKETIME_CACHE_DURATION": str(LOOKS_EACH_S)}
        clocks = {part: {**library, "FAKETIME_TIMESTAMP_FILE": str(file)} for part, file in self._files.items()}
        return {"": {"LOG_LEVEL": "DEBUG"}, **clocks}

    @contextmanager
    def stepped(self, part: str, step: str) -> Iterator[None]:
        """Set the clock of a module's parts off by a step, and right again at the end."""
        self._files[part].write_text(f"{step}\n")
        time.sleep(LOOKS_EACH_S + 1.5)  # it counts whole seconds
        yield
        self._files[part].write_text("+0\n")


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    """Clocks that are right."""
    return Clocks(tmp_path)


@on_each_broker(short="valkey")
def test_clock_of_one_part_steps(start_faulty: StartFaulty, clocks: Clocks, report: Report) -> None:
    faulty = start_faulty(clocks.environments)
    # small: each part once, half of them forwards
    cases = [(part, step) for part in PARTS for step in STEPS] if IS_FULL else list(zip(PARTS, STEPS * 2, strict=False))
    for part, step in cases:
        with faulty.load(f"clock-{part}{step}", JOBS, mix=DELAYED_MIX) as load:
            load.release(0.5)
            load.wait_accepted(0.5)
            with clocks.stepped(part, step):
                load.release()
                verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
                assert _is_off(faulty, part, step)
        report.add(f"clock of {part} steps by {step}, all jobs delayed", faulty.broker.engine.name, verdict)
        assert verdict.is_good, verdict


def _is_off(faulty: FaultyStack, part: str, step: str) -> bool:
    """Tell whether the parts of a module have logged with the clock that was set."""
    wrong = time.time() + (3600 if step == "+1h" else -3600)
    parts = [known for known in faulty.stack.parts if known.name.startswith(part)]
    logged = [line for known in parts for line in faulty.stack.logged(known)]
    return any(abs(datetime.fromisoformat(line["timestamp"]).timestamp() - wrong) < TOLERANCE_S for line in logged)


def _library() -> str:
    """Return the path of the library, without importing its package, which would want to start this process anew."""
    spec = find_spec("libfaketime")
    assert spec is not None, "the package libfaketime is not installed"
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1")
