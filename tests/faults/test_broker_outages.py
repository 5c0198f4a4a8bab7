"""The broker is wiped, stopped, or refuses what is published."""

import time
from typing import Final

import pytest

from core.events import Event
from tests.api_client import ApiClient
from tests.engines import wait_until
from tests.faults.faulty_stack import FaultyStack, judge
from tests.faults.load import MIX, submit_in_batches
from tests.faults.report import Report
from tests.faults.sizes import size
from tests.processes import standing_still
from tests.rabbitmq import RabbitMQProcess

pytestmark = pytest.mark.timeout(size(180, 900))

#: All that a wiped broker had is published again within this time.
REPUBLISHED_LIMIT_S: Final = 60.0
#: A submission is answered within this time, whatever ails the broker.
ANSWER_LIMIT_S: Final = 1.0
OUTAGE_S: Final = size(5, 120)
#: Longer than it takes to miss two heartbeats of RabbitMQ, and to give up a worker that hangs.
FREEZE_S: Final = 70
RATE: Final = 50


def test_wiped_broker(faulty: FaultyStack, report: Report) -> None:
    faulty.begin()
    # all at once: a load that trickles in may be done as fast as it comes
    accepted = submit_in_batches(faulty.stack.client, "wiped", size(300, 2_000), MIX)
    wait_until(lambda: faulty.messages_ready() > 20, 10.0, "messages wait in the broker")
    faulty.broker.wipe()
    faulty.broker.start()
    verdict = judge(faulty.checker, accepted, time.time(), extra_executions_bound=0, limit_s=REPUBLISHED_LIMIT_S)
    republished = sum(line["count"] for line in faulty.logged(Event.JOBS_REPUBLISHED))
    report.add("disk of the broker wiped", faulty.broker.engine.name, verdict, published_again=f"{republished:,}")
    assert republished > 0
    assert verdict.is_good, verdict


def test_stopped_broker(faulty: FaultyStack, report: Report) -> None:
    with faulty.load("stopped", (OUTAGE_S + 4) * RATE, rate=RATE) as load:
        faulty.checker.wait_finished(RATE)
        faulty.broker.stop()
        time.sleep(OUTAGE_S)
        faulty.broker.start()
        back_at = time.time()
        recovered_s = faulty.checker.recovery_s(back_at, 60.0)
        verdict = faulty.conclude(load, back_at, extra_executions_bound=0)
    report.add(
        f"broker stopped for {OUTAGE_S} s under {RATE} jobs/s",
        faulty.broker.engine.name,
        verdict,
        slowest_answer=f"{load.slowest_s:.2f} s",
        refusals=load.refusals.total(),
    )
    assert recovered_s < 30.0
    assert not load.refusals
    assert load.slowest_s < ANSWER_LIMIT_S
    assert verdict.is_good, verdict


@pytest.mark.full_only
def test_frozen_broker(faulty: FaultyStack, report: Report) -> None:
    """It keeps its connections and answers nothing. No worker is taken for a hung one that only waits for it."""
    with faulty.load("frozen", (FREEZE_S + 4) * RATE, rate=RATE) as load:
        faulty.checker.wait_finished(RATE)
        pids = faulty.stack.pids
        assert faulty.broker.pid is not None
        with standing_still(faulty.broker.pid):
            time.sleep(FREEZE_S)
        back_at = time.time()
        recovered_s = faulty.checker.recovery_s(back_at, 60.0)
        verdict = faulty.conclude(load, back_at, extra_executions_bound=0)
    report.add(
        f"broker frozen for {FREEZE_S} s under {RATE} jobs/s",
        faulty.broker.engine.name,
        verdict,
        slowest_answer=f"{load.slowest_s:.2f} s",
    )
    assert recovered_s < 30.0
    assert not load.refusals
    assert verdict.is_good, verdict
    assert not faulty.logged(Event.WORKER_HUNG)
    assert faulty.stack.pids == pids


# only RabbitMQ refuses what is published when its memory or its disk is nearly full
@pytest.mark.parametrize("ground", ["rabbitmq"], indirect=True)
def test_memory_alarm(faulty: FaultyStack, report: Report) -> None:
    assert isinstance(faulty.broker, RabbitMQProcess)
    control = faulty.broker.engine.control
    with faulty.load("alarm", (OUTAGE_S + 4) * RATE) as load:
        _submit_what_takes_a_while(faulty.stack.client)
        seen = [0]  # before the alarm, which takes a while to raise: the workers may have taken all by then

        def messages_wait() -> bool:
            seen.append(faulty.messages_ready())
            return seen[-1] > 0

        wait_until(messages_wait, 10.0, "messages wait in the broker")
        control("set_vm_memory_high_watermark", "0.0000001")
        finished, left_before = faulty.checker.finished(), seen[-1]
        load.release_at(RATE)
        time.sleep(OUTAGE_S)
        finished_meanwhile = faulty.checker.finished() - finished
        left_after = faulty.messages_ready()
        control("set_vm_memory_high_watermark", "0.6")
        verdict = faulty.conclude(load, time.time(), extra_executions_bound=0)
    report.add(
        f"memory alarm for {OUTAGE_S} s under {RATE} jobs/s",
        faulty.broker.engine.name,
        verdict,
        slowest_answer=f"{load.slowest_s:.2f} s",
        refusals=load.refusals.total(),
        finished_during_the_alarm=finished_meanwhile,
    )
    assert finished_meanwhile > 0
    assert left_after < left_before
    assert not load.refusals
    assert load.slowest_s < ANSWER_LIMIT_S
    assert verdict.is_good, verdict


def _submit_what_takes_a_while(client: ApiClient) -> None:
    """Give four workers work for some 5 s."""
    jobs = [{"task": "effects.long", "args": {"number": number, "seconds": 0.2}} for number in range(100)]
    assert client.post("/jobs/batch", {"jobs": jobs}).status_code == 202
