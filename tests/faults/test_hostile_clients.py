"""Hostile clients beside a good one: it does not notice, and when they are gone nothing of them is left.

The full form is a crowd of 2,000 idle connections and 50 of each other kind for a minute.
"""

import time
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.engines import wait_until
from tests.faults.faulty_stack import FaultyStack
from tests.faults.good_client import GoodClient
from tests.faults.hostile_clients import Crowd, HostileClients, Targets
from tests.faults.report import Report
from tests.faults.sizes import IS_FULL
from tests.processes import open_files, resident_mib
from tests.stack import Stack

CROWD = Crowd(idle=2000, others=50) if IS_FULL else Crowd(idle=200, others=20)
#: Longer than a request head has time.
DURATION_S = 60.0 if IS_FULL else 13.0
#: All are there, and none of the idle ones is closed yet.
CROWDED_AFTER_S = 8.0

P99_LIMIT_S = 1.0
#: 10 s, what the look at all connections adds, and what a machine that does much else adds to that.
HEAD_LIMIT_S = 15.0
#: What a process keeps of memory that it has used once.
MEMORY_LIMIT_MIB = 100
LARGE_BYTES = 200_000
WAITERS = "api: wait for jobs"


@pytest.mark.timeout(DURATION_S + 120)
@pytest.mark.parametrize("ground", ["valkey"], indirect=True)  # no broker takes part
def test_good_client_does_not_notice_hostile_ones(faulty: FaultyStack, report: Report) -> None:
    stack, good = faulty.stack, GoodClient(faulty.stack.client)
    faulty.begin()
    errors = _errors(stack)
    good.work_until(time.monotonic() + 1.0)
    pid, files, memory_mib = stack.api.pid, _files(stack), _memory_mib(stack)

    with HostileClients(urlsplit(stack.client.url).port or 0, CROWD, _make_targets(stack)) as crowd:
        good.work_until(time.monotonic() + CROWDED_AFTER_S)
        crowded_files = _files(stack)
        good.work_until(time.monotonic() + DURATION_S - CROWDED_AFTER_S)
        crowded_mib = _memory_mib(stack)
        seen = crowd.end()
    wait_until(lambda: _files(stack) <= files, 10.0, f"the api has {files} open files again")
    wait_until(lambda: _is_nobody_looking(stack), 10.0, "no job is looked for any more")

    after_mib = _memory_mib(stack)
    report.add(
        "hostile clients beside a good one",
        faulty.broker.engine.name,
        visits=sum(seen.acts.values()),
        good_client_p99=f"{good.p99_s * 1000:.0f} ms of {len(good.request_s)} requests",
        longest=f"{max(good.request_s) * 1000:.0f} ms",
        longest_head=f"{seen.longest_head_s:.1f} s",
        open_files_before_amid_after=f"{files}, {crowded_files}, {_files(stack)}",
        memory_before_amid_after=f"{memory_mib}, {crowded_mib}, {after_mib} MiB",
    )
    assert stack.api.pid == pid
    assert crowded_files >= files + CROWD.idle
    assert good.p99_s < P99_LIMIT_S
    assert 0 < seen.longest_head_s < HEAD_LIMIT_S
    assert max(crowded_mib, after_mib) < memory_mib + MEMORY_LIMIT_MIB
    assert _errors(stack) == errors


def _make_targets(stack: Stack) -> Targets:
    waiting_id = stack.client.submit("effects.quick", {"delay_s": 3600}, number=0)
    large_id = stack.client.submit("upper_case", {"delay_s": 3600}, text="x" * LARGE_BYTES)
    return Targets(waiting_id, large_id)


def _errors(stack: Stack) -> int:
    return sum(line["level"] == "error" for line in stack.logged(stack.api))


def _files(stack: Stack) -> int:
    assert stack.api.pid is not None
    return open_files(stack.api.pid)


def _memory_mib(stack: Stack) -> int:
    assert stack.api.pid is not None
    return resident_mib(stack.api.pid)


def _is_nobody_looking(stack: Stack) -> bool:
    """Tell whether the api has stopped to repeat the query that all waiters share."""
    query = "SELECT query_start FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        before = connection.execute(query, [WAITERS]).fetchall()
        time.sleep(0.3)
        return connection.execute(query, [WAITERS]).fetchall() == before
