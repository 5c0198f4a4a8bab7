"""FastAPI in front of taskiq, as its guide for FastAPI writes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from tasks import add as add_task
from tasks import broker


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


class Numbers(BaseModel):
    x: int
    y: int


@app.post("/add")
async def add(numbers: Numbers) -> dict[str, Any]:
    task = await add_task.kiq(numbers.x, numbers.y)
    return {"task_id": task.task_id}


@app.get("/status/{task_id}")
async def get_status(task_id: str) -> dict[str, Any]:
    if not await broker.result_backend.is_result_ready(task_id):
        return {"task_id": task_id, "status": "PENDING", "result": None}
    result = await broker.result_backend.get_result(task_id)
    return {"task_id": task_id, "status": "FAILURE" if result.is_err else "SUCCESS", "result": result.return_value}
