"""A task module of a user's, mounted beside ours."""

import time

from celery import shared_task


@shared_task(name="naps.take")
def take(seconds: float) -> str:
    """Take a nap."""
    time.sleep(seconds)
    return "rested"
