"""FastAPI in front of Celery, as tutorials write it: a `def` route that calls send_task."""

import os
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI
from pydantic import BaseModel

celery_app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])

app = FastAPI()


class Numbers(BaseModel):
    x: int
    y: int


@app.post("/add")
def add(numbers: Numbers) -> dict[str, Any]:
    task = celery_app.send_task("tasks.add", args=[numbers.x, numbers.y])
    return {"task_id": task.id}


@app.get("/status/{task_id}")
def get_status(task_id: str) -> dict[str, Any]:
    result = AsyncResult(task_id, app=celery_app)
    return {"task_id": task_id, "status": result.status, "result": result.result}
