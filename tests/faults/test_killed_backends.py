"""kill -9 of the PostgreSQL backend of each connection that the service has, one after the other, idle and in mid-statement.

As when the kernel, out of memory, chooses one of them: PostgreSQL then ends all others, too, and starts anew. No part of the
service may end by it, nor live on without one of its threads.
"""

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
import pytest
import requests

from tests.conftest import ENGINES
from tests.engines import private_postgres, wait_until
from tests.faults.faulty_stack import FaultyStack, drain_limit_s, judge
from tests.faults.ground import DURABLE, Ground
from tests.faults.report import Report
from tests.faults.sizes import IS_FULL, size
from tests.stack import WORKERS
from tests.tcp_proxy import TcpProxy

#: Kills in the short form, each of the connections of another purpose: seeded, so the same ones each time.
SAMPLE: Final = 4
SEED: Final = 14
#: A statement comes within this time: of some purposes only now and then.
STATEMENT_LIMIT_S: Final = 240.0
#: All statements wait for so long at a time.
LOCK_S: Final = 2.0
#: It has a statement once a minute.
RARE: Final = "scheduler housekeeping"
#: What all wait for while this lock is held.
LOCK: Final = "LOCK TABLE jobs, live_jobs, finished_jobs, attempts, idempotency_keys, instances IN ACCESS EXCLUSIVE MODE"
BACKENDS: Final = """
SELECT pid, application_name, state = 'active' AND wait_event_type = 'Lock' FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
    AND application_name ~ '^(api|scheduler|worker)'
"""
#: A worker's name for PostgreSQL ends in :PID:RANDOM.
_PROCESS: Final = re.compile(r"^(worker)-\d+:.*")


@pytest.mark.timeout(size(240, 1800))
@pytest.mark.parametrize("ground", ["valkey"], indirect=True, scope="package")
@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "in mid-statement"])
@pytest.mark.parametrize("way", ["socket", pytest.param("TCP", marks=pytest.mark.full_only)])
def test_killed_backends(ground: Ground, way: str, is_idle: bool, report: Report, engine_directory: Path) -> None:
    with ExitStack() as ends:
        faulty = start_service(ground, ends, engine_directory, by_tcp=way == "TCP")
        pids = faulty.stack.pids
        with faulty.load("backends", size(300, 2_000), rate=20.0) as load:
            with every_purpose_busy(faulty):
                purposes = chosen_purposes(faulty)
                for purpose in purposes:
                    (kill_idle if is_idle else kill_in_mid_statement)(faulty, purpose)
                    faulty.stack.wait_until_ready()
            disturbed_at = time.time()
            load.wait_accepted(limit_s=drain_limit_s(load.size))
            # a claim may be forgotten (its commit does not wait for the disk), so each slot may have to run its job again
            verdict = judge(faulty.checker, load.accepted, disturbed_at, WORKERS * len(purposes))
        when = "idle" if is_idle else "in mid-statement"
        fault = f"{len(purposes)} x kill -9 of a backend of PostgreSQL, {when}, by {way}"
        report.add(fault, faulty.broker.engine.name, verdict)
        assert verdict.is_good, verdict
        assert faulty.stack.pids == pids, f"a part has ended:\n{faulty.stack.complaints()}"
        assert set(faulty.checker.jobs_with_key().values()) == {1}
        assert not faulty.logged("worker.failed")
        assert not faulty.logged("scheduler.failed")


def start_service(ground: Ground, ends: ExitStack, directory: Path, *, by_tcp: bool) -> FaultyStack:
    """Start a service on a PostgreSQL of its own, which nobody else connects to."""
    server = private_postgres(directory / "backends", DURABLE)
    ground.config.stash[ENGINES].append(server)
    ends.callback(server.wipe)
    ends.enter_context(server)

    def environments(database_url: str, _broker_url: str) -> dict[str, dict[str, str]]:
        if not by_tcp:
            return {}
        proxy, url = TcpProxy.before(database_url)
        ends.callback(proxy.close)
        return {"": {"DATABASE_URL": url}}

    return Ground(ground.config, ground.broker, server, ground.directory).start(ends, environments)


@contextmanager
def every_purpose_busy(faulty: FaultyStack) -> Iterator[None]:
    """Use each of the api's connections again and again, whatever it answers."""
    client = faulty.stack.client
    job = client.submit("effects.quick", number=1)
    client.finished(job)
    asks: list[Callable[[], object]] = [
        lambda: client.post("/effects.quick", {"number": 1}),
        lambda: client.post("/effects.quick", {"number": 1}, {"Idempotency-Key": str(time.monotonic())}),
        lambda: client.post("/jobs/batch", {"jobs": [{"task": "effects.quick", "args": {"number": 1}}]}),
        lambda: client.get(f"/jobs/{job}"),
        lambda: client.get(f"/status/{client.submit('effects.quick', {'delay_s': 3}, number=1)}", wait_s=3.0),
        lambda: client.get("/jobs"),
        lambda: client.post(f"/jobs/{job}/cancel", b""),
        lambda: client.get("/readyz"),
    ]
    is_over = threading.Event()

    def ask(send: Callable[[], object]) -> None:
        while not is_over.wait(0.1):
            with suppress(requests.RequestException, AssertionError):  # it is away
                send()

    threads = [threading.Thread(target=ask, args=(send,), daemon=True) for send in asks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def chosen_purposes(faulty: FaultyStack) -> list[str]:
    """Return what connections are for, each purpose once; in the short form some of them, a worker's always."""
    wait_until(lambda: len(purposes_of(faulty)) >= 12, STATEMENT_LIMIT_S, "the connections of all purposes are open")
    found = sorted(purposes_of(faulty))
    if IS_FULL:
        return found
    others = [purpose for purpose in found if purpose not in {"worker", RARE}]
    return ["worker", *random.Random(SEED).sample(others, SAMPLE - 1)]


def purposes_of(faulty: FaultyStack) -> set[str]:
    """Return what the service's connections are for."""
    with psycopg.connect(faulty.stack.database_url, autocommit=True) as connection:
        return {_PROCESS.sub(r"\1", name) for _, name, _ in connection.execute(BACKENDS)}


def kill_idle(faulty: FaultyStack, purpose: str) -> None:
    """kill -9 a backend of this purpose, whatever it does: nearly always that is nothing."""
    wait_until(lambda: kill(faulty, purpose, must_wait=False), STATEMENT_LIMIT_S, f"a connection of {purpose!r}")


def kill_in_mid_statement(faulty: FaultyStack, purpose: str) -> None:
    """Let all statements wait, again and again for a little, and kill -9 a backend of this purpose that has one."""

    def lock_and_kill() -> bool:
        with psycopg.connect(faulty.stack.database_url) as blocking:
            try:
                blocking.execute(LOCK)
            except psycopg.errors.DeadlockDetected:  # it takes one table after the other, and so do others
                return False
            until = time.monotonic() + LOCK_S
            while time.monotonic() < until:
                if kill(faulty, purpose, must_wait=True):
                    blocking.close()  # its backend is ended, too
                    return True
            return False

    wait_until(lock_and_kill, STATEMENT_LIMIT_S, f"a statement of {purpose!r}", pause_s=0.5)


def kill(faulty: FaultyStack, purpose: str, *, must_wait: bool) -> bool:
    """kill -9 a backend of this purpose, one that waits for a lock if it must. False: there is none."""
    with psycopg.connect(faulty.stack.database_url, autocommit=True) as connection:
        rows = connection.execute(BACKENDS).fetchall()
    found = [pid for pid, name, waits in rows if _PROCESS.sub(r"\1", name) == purpose and (waits or not must_wait)]
    for pid in found[:1]:
        os.kill(pid, signal.SIGKILL)
    return bool(found)
