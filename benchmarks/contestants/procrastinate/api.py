"""FastAPI in front of procrastinate with its asynchronous connector."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from tasks import add as add_task
from tasks import app as task_queue


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with task_queue.open_async():
        yield


app = FastAPI(lifespan=lifespan)


class Numbers(BaseModel):
    x: int
    y: int


@app.post("/add")
async def add(numbers: Numbers) -> dict[str, Any]:
    job_id = await add_task.defer_async(x=numbers.x, y=numbers.y)
    return {"task_id": str(job_id)}


@app.get("/status/{task_id}")
async def get_status(task_id: int) -> dict[str, Any]:
    status = await task_queue.job_manager.get_job_status_async(task_id)
    return {"task_id": str(task_id), "status": status.value}
