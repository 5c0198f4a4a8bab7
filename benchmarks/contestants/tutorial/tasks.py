"""The worker's side: `celery -A tasks worker`."""

import os

from celery import Celery

app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])


@app.task(name="tasks.add")
def add(x: int, y: int) -> int:
    return x + y
