"""Tasks that end in every way that a task can end."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, TimeLimitExceeded, WorkerLostError

from worker import ledger

# A test may want a larger one: a worker takes a stall of a busy machine for a long attempt.
ledger.LATE_S = float(os.environ.get("LATE_S", ledger.LATE_S))  # type: ignore[misc]  # it is final for everybody else

LEAK: list[bytearray] = []


@shared_task(name="ill.raises")
def raises() -> None:
    raise ValueError("on purpose")


@shared_task(name="ill.retries", autoretry_for=(ValueError,), max_retries=2)
def retries() -> None:
    raise ValueError("on purpose, again")


@shared_task(name="ill.asks_for_retry", bind=True)
def asks_for_retry(self: Task) -> None:
    raise self.retry(countdown=30)


@shared_task(name="ill.kills_itself")
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="ill.exits")
def exits() -> None:
    raise SystemExit(3)


@shared_task(name="ill.sleeps")
def sleeps(seconds: float, mark: str) -> str:
    """Touch the file `mark`, so that a test knows that it runs."""
    Path(mark).touch()
    time.sleep(seconds)
    return "slept"


@shared_task(name="ill.naps")
def naps(seconds: float) -> None:
    time.sleep(seconds)


@shared_task(name="ill.sleeps_stubbornly")
def sleeps_stubbornly(seconds: float, mark: str) -> None:
    """Do not listen to the soft limit's signal, nor let what runs for the task."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    subprocess.Popen(["sleep", str(seconds)], start_new_session=True)
    Path(mark).touch()
    time.sleep(seconds)


# A limit's clock starts when the worker gives the call: connecting and claiming have to fit in, on a busy machine too.
@shared_task(name="ill.exceeds_soft_limit", soft_time_limit=2, time_limit=10)
def exceeds_soft_limit() -> None:
    time.sleep(60)


@shared_task(name="ill.exceeds_hard_limit", time_limit=2)
def exceeds_hard_limit() -> None:
    time.sleep(60)


@shared_task(name="ill.exceeds_hard_limit_and_retries", time_limit=2, autoretry_for=(Exception,), max_retries=1)
def exceeds_hard_limit_and_retries() -> None:
    time.sleep(60)


@shared_task(name="ill.leaks", autoretry_for=(ValueError,))
def leaks(mib: int, seconds: float) -> int:
    """Keep so much memory for good, and run for so long. Return the process."""
    LEAK.append(bytearray(mib * 1024 * 1024))
    time.sleep(seconds)
    return os.getpid()


@shared_task(name="ill.leaks_and_retries", autoretry_for=(Exception,), max_retries=1)
def leaks_and_retries(mib: int) -> None:
    leaks(mib, 60)


@shared_task(name="ill.leaks_and_does_not_retry", autoretry_for=(Exception,), dont_autoretry_for=(MemoryError,))
def leaks_and_does_not_retry(mib: int) -> None:
    leaks(mib, 60)


@shared_task(name="ill.raises_memory_error")
def raises_memory_error() -> None:
    raise MemoryError("on purpose")


@shared_task(name="ill.raises_what_ends_processes")
def raises_what_ends_processes(name: str) -> None:
    """As a pool of the task's own does, when its processes end so."""
    raise {"TimeLimitExceeded": TimeLimitExceeded(5), "WorkerLostError": WorkerLostError("on purpose")}[name]


@shared_task(name="ill.ignores_sigterm", time_limit=2)
def ignores_sigterm(mark: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(mark).touch()
    time.sleep(60)


@shared_task(name="ill.blocks_all_signals", soft_time_limit=2, time_limit=2.5)
def blocks_all_signals(mark: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    Path(mark).touch()
    time.sleep(60)


@shared_task(name="ill.hangs_in_c", soft_time_limit=2, time_limit=2.5)
def hangs_in_c(mark: str) -> None:
    """Call a function that takes hours, in which the interpreter runs no handler of a signal."""
    Path(mark).touch()
    sum(range(10**13))


@shared_task(name="ill.forks", time_limit=2)
def forks(mark: str) -> None:
    """Fork a child, in a session of its own, that forks one with much memory."""
    program = "import os, sys, time; os.fork() or open(sys.argv[1], 'w'); memory = bytearray(50_000_000); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", program, mark], start_new_session=True)
    time.sleep(60)


@shared_task(name="ill.returns_nan")
def returns_nan() -> float:
    return float("nan")


@shared_task(name="ill.returns_an_object")
def returns_an_object() -> Any:
    return object()


@shared_task(name="ill.returns_too_much")
def returns_too_much() -> str:
    return "x" * 2_000_000


@shared_task(name="ill.ignores")
def ignores() -> None:
    raise Ignore


@shared_task(name="ill.rejects")
def rejects() -> None:
    raise Reject("no", requeue=True)


@shared_task(name="ill.raises_unpicklable")
def raises_unpicklable() -> None:
    class LocalError(Exception):
        def __init__(self, first: str, second: str) -> None:
            super().__init__(first)

    raise LocalError("local", "error")


@shared_task(name="ill.raises_nonsense")
def raises_nonsense() -> None:
    raise ValueError("a\x00b\ud800c")


@shared_task(name="ill.reports_progress", bind=True)
def reports_progress(self: Task, mark: str) -> str:
    for done in range(1, 4):
        self.progress(done, 3)
    Path(mark).touch()
    while Path(mark).exists():
        time.sleep(0.01)
    return "done"


@shared_task(name="ill.counts_links")
def counts_links(total: int, more: int) -> int:
    return total + more


@shared_task(name="ill.calls", bind=True)
def calls(self: Task) -> str:
    print("printed by a task")
    return str(counts_links.apply_async((1,), {"more": 2}, countdown=30, link=counts_links.s(more=10)).id)


@shared_task(name="ill.reports_and_calls", bind=True)
def reports_and_calls(self: Task, mark: str) -> str:
    Path(mark).touch()
    while Path(mark).exists():
        self.progress(1, 1)
        time.sleep(0.01)
    return str(counts_links.delay(1, 2).id)


@shared_task(name="ill.calls_into")
def calls_into(queue: str) -> None:
    counts_links.apply_async((1,), {"more": 2}, queue=queue)


@shared_task(name="ill.links_into")
def links_into(queue: str) -> None:
    counts_links.apply_async((1,), {"more": 2}, link=counts_links.s(more=10).set(queue=queue))


@shared_task(name="ill.calls_a_group")
def calls_a_group() -> None:
    from celery import group

    group(counts_links.s(1, 1), counts_links.s(2, 2)).apply_async()


@shared_task(name="waits.as_the_policy_says", autoretry_for=(ValueError,))
def waits_as_the_policy_says() -> None:
    raise ValueError("on purpose")


@shared_task(name="waits.default_retry_delay", autoretry_for=(ValueError,), default_retry_delay=30)
def waits_default_retry_delay() -> None:
    raise ValueError("on purpose")


@shared_task(name="waits.retry_kwargs", autoretry_for=(ValueError,), retry_kwargs={"countdown": 40})
def waits_retry_kwargs() -> None:
    raise ValueError("on purpose")


@shared_task(name="waits.retry_backoff", autoretry_for=(ValueError,), retry_backoff=50, retry_jitter=False)
def waits_retry_backoff() -> None:
    raise ValueError("on purpose")


@shared_task(
    name="waits.retry_backoff_max", autoretry_for=(ValueError,), retry_backoff=50, retry_backoff_max=20, retry_jitter=False
)
def waits_retry_backoff_max() -> None:
    raise ValueError("on purpose")


@shared_task(name="waits.retry", bind=True, default_retry_delay=30)
def waits_retry(self: Task) -> None:
    raise self.retry(exc=ValueError("on purpose"))


@shared_task(name="waits.retry_countdown", bind=True, default_retry_delay=30)
def waits_retry_countdown(self: Task) -> None:
    raise self.retry(countdown=60)


@shared_task(name="waits.retry_eta", bind=True)
def waits_retry_eta(self: Task) -> None:
    raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=70))


@shared_task(name="waits.time_limit", autoretry_for=(Exception,), time_limit=2, retry_kwargs={"countdown": 80})
def waits_time_limit() -> None:
    time.sleep(60)


@shared_task(name="waits.time_limit_backoff", autoretry_for=(Exception,), time_limit=2, retry_backoff=90, retry_jitter=False)
def waits_time_limit_backoff() -> None:
    time.sleep(60)
