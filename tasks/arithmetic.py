"""Tasks on integers."""

from celery import shared_task


@shared_task(name="tasks.add")
def add(x: int, y: int) -> int:
    """Add two integers."""
    return x + y


@shared_task(name="tasks.multiply")
def multiply(x: int, y: int) -> int:
    """Multiply two integers."""
    return x * y
