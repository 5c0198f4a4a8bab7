"""Tasks that leave a trace outside of the database: each execution appends one line to a file that nothing else writes.

The file is $EFFECTS_LOG; a line is the job's id and the attempt's token. What is appended with one write(2) to a file
opened with O_APPEND is neither torn nor lost when its writer is killed.
"""

import os
import time
from pathlib import Path

from celery import Task, shared_task

STEADY_S = 0.05


class FirstAttemptError(Exception):
    """What a first attempt ends with."""


@shared_task(name="effects.quick", bind=True)
def quick(self: Task, number: int) -> int:
    _leave_trace(self)
    return number * number


@shared_task(name="effects.steady", bind=True)
def steady(self: Task, number: int) -> int:
    _leave_trace(self)
    time.sleep(STEADY_S)
    return number * number


@shared_task(name="effects.long", bind=True)
def long(self: Task, number: int, seconds: float) -> int:
    _leave_trace(self)
    time.sleep(seconds)
    return number * number


@shared_task(name="effects.flaky", bind=True, autoretry_for=(FirstAttemptError,))
def flaky(self: Task, number: int) -> int:
    """Fail once."""
    _leave_trace(self)
    if self.request.retries == 0:
        raise FirstAttemptError(f"number {number}")
    return number * number


def _leave_trace(task: Task) -> None:
    line = f"{task.request.id} {task.request.token}\n"
    descriptor = os.open(Path(os.environ["EFFECTS_LOG"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
