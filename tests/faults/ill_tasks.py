"""Tasks that harm what runs them, and one that is well and must not suffer by them."""

import os
import signal
import time

from celery import shared_task

HANG_S = 600.0
TIME_LIMIT_S = 2

#: The worker's main process, which imports this before it forks. Not os.getppid(): whose worker has just died has the test
#: run for a parent.
_MAIN_PID = os.getpid()
_LEAK: list[bytearray] = []


@shared_task(name="ill.works")
def works(number: int) -> int:
    return number * number


@shared_task(name="ill.kills_its_process")
def kills_its_process(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="ill.kills_its_worker")
def kills_its_worker(number: int) -> None:
    """kill -9 the worker's main process, and wait for the end that it takes with it."""
    os.kill(_MAIN_PID, signal.SIGKILL)
    time.sleep(HANG_S)


@shared_task(name="ill.leaks")
def leaks(number: int) -> None:
    """Take at once what the limit allows."""
    _LEAK.append(bytearray(int(os.environ["MEMORY_LIMIT_MIB"]) * 1024 * 1024))
    time.sleep(HANG_S)


@shared_task(name="ill.hangs", time_limit=TIME_LIMIT_S)
def hangs(number: int) -> None:
    """Call a function that takes hours, in which the interpreter runs no handler of a signal."""
    sum(range(10**13))


@shared_task(name="ill.ignores_sigterm", time_limit=TIME_LIMIT_S)
def ignores_sigterm(number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(HANG_S)
