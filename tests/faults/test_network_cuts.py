"""The network between half of the workers and their engines goes silent: nothing arrives, nobody is told."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

from core.events import Event
from tests.faults.faulty_stack import FaultyStack
from tests.faults.links import CUT_WORKERS, LinkedStack
from tests.faults.report import Report
from tests.faults.sizes import IS_FULL

CUTS_S: Final = (10, 60, 180) if IS_FULL else (6,)
JOBS: Final = 2_000 if IS_FULL else 200
#: The workers that were cut off run jobs again within this time.
CONSUMING_LIMIT_S: Final = 30.0
#: Jobs go on coming for so long after the cut.
AFTER_S: Final = 12 if IS_FULL else 4

#: How long the kernel drops packets.
DROPS_S: Final = 30

pytestmark = pytest.mark.timeout(240 + max(CUTS_S))


@pytest.mark.parametrize("cut_s", CUTS_S)
def test_workers_cut_off_from_the_broker(linked: LinkedStack, report: Report, cut_s: int) -> None:
    faulty, links = linked.faulty, linked.links
    with faulty.load("broker-cut", JOBS, rate=JOBS / (cut_s + AFTER_S)) as load:
        faulty.checker.wait_finished(JOBS // 20)
        links.worker_broker.stall()
        time.sleep(cut_s)
        links.worker_broker.heal()
        healed_at = time.time()
        consuming_s = _consuming_s(faulty, healed_at)
        verdict = faulty.conclude(load, healed_at, extra_executions_bound=0)
    report.add(
        f"two of four workers cut off from the broker for {cut_s} s",
        faulty.broker.engine.name,
        verdict,
        consuming_again_after=f"{consuming_s:.1f} s",
    )
    assert verdict.is_good, verdict


@pytest.mark.parametrize("cut_s", CUTS_S)
def test_workers_cut_off_from_the_database(linked: LinkedStack, report: Report, cut_s: int) -> None:
    faulty, links = linked.faulty, linked.links
    with faulty.load("database-cut", JOBS, rate=JOBS / (cut_s + AFTER_S)) as load:
        faulty.checker.wait_finished(JOBS // 20)
        # caught in the middle, these finish late: another worker has run them by then
        late = [faulty.stack.client.submit("effects.long", number=number, seconds=4.0) for number in range(4)]
        faulty.checker.wait_claimed(4)
        links.worker_database.stall()
        time.sleep(cut_s)
        links.worker_database.heal()
        healed_at = time.time()
        consuming_s = _consuming_s(faulty, healed_at)
        for number, task_id in enumerate(late):
            assert faulty.stack.client.finished(task_id, 30.0)["result"] == number * number
        verdict = faulty.conclude(load, healed_at, extra_executions_bound=len(CUT_WORKERS))
    fenced = len(faulty.logged(Event.JOB_FENCED))
    report.add(
        f"two of four workers cut off from the database for {cut_s} s",
        faulty.broker.engine.name,
        verdict,
        consuming_again_after=f"{consuming_s:.1f} s",
        late_outcomes_refused=fenced,
    )
    assert fenced > 0
    assert verdict.is_good, verdict


@pytest.mark.full_only
def test_packets_of_workers_dropped(linked: LinkedStack, report: Report) -> None:
    """Needs root, for iptables: only the kernel can make a connection of which nobody ever hears again."""
    faulty, links = linked.faulty, linked.links
    with faulty.load("drops", JOBS, rate=JOBS / (DROPS_S + AFTER_S)) as load:
        faulty.checker.wait_finished(JOBS // 20)
        with _packets_dropped(links.worker_broker.port, links.worker_database.port):
            time.sleep(DROPS_S)
        healed_at = time.time()
        consuming_s = _consuming_s(faulty, healed_at)
        verdict = faulty.conclude(load, healed_at, extra_executions_bound=len(CUT_WORKERS))
    report.add(
        f"packets between two of four workers and both engines dropped for {DROPS_S} s",
        faulty.broker.engine.name,
        verdict,
        consuming_again_after=f"{consuming_s:.1f} s",
    )
    assert verdict.is_good, verdict


@contextmanager
def _packets_dropped(*ports: int) -> Iterator[None]:
    """Drop what comes from and goes to servers on these ports of this machine."""
    rules = [["INPUT", "-p", "tcp", end, str(port), "-j", "DROP"] for port in ports for end in ("--dport", "--sport")]
    with ExitStack() as ends:
        for rule in rules:
            subprocess.run(["iptables", "-A", *rule], check=True)
            ends.callback(subprocess.run, ["iptables", "-D", *rule], check=True)
        yield


def _consuming_s(faulty: FaultyStack, healed_at: float) -> float:
    """Return how long after the cut each of the workers that were cut off has run a job again, in seconds."""
    return max(faulty.checker.recovery_s(healed_at, CONSUMING_LIMIT_S, worker) for worker in CUT_WORKERS)
