"""Tasks that take their process, or their whole worker, with them."""

import os
import signal
import time

from celery import shared_task

#: The worker's main process, which imports this before it forks. Not os.getppid(): whose worker has just died has the test
#: run for a parent.
_MAIN_PID = os.getpid()


@shared_task(name="shop.kills_its_process")
def kills_its_process() -> None:
    """kill -9 the process that runs this."""
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="shop.kills_its_worker")
def kills_its_worker() -> None:
    """kill -9 the worker's main process, and wait for the end that it takes with it."""
    os.kill(_MAIN_PID, signal.SIGKILL)
    time.sleep(60)
