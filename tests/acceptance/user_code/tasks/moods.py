"""Tasks that ask for no retries and get the default."""

from celery import Task, shared_task


@shared_task(name="tasks.always_fails")
def always_fails(mood: str) -> None:
    """Raise."""
    raise ValueError(f"in a {mood} mood")


@shared_task(name="tasks.succeeds_at_third_try", bind=True)
def succeeds_at_third_try(self: Task) -> str:
    """Raise twice."""
    if self.request.retries < 2:
        raise ValueError("not yet")
    return "at last"
