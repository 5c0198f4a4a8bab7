"""Celery's app and task, and the FastAPI app that the package makes of them (its quick start)."""

import os

from celery import Celery
from celery_fastapi import create_app

celery_app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])


@celery_app.task
def add(x: int, y: int) -> int:
    return x + y


app = create_app(celery_app)
