"""FastAPI in front of arq."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.jobs import Job
from fastapi import FastAPI
from pydantic import BaseModel

from tasks import REDIS_SETTINGS


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.redis = await create_pool(REDIS_SETTINGS)
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=lifespan)


class Numbers(BaseModel):
    x: int
    y: int


@app.post("/add")
async def add(numbers: Numbers) -> dict[str, Any]:
    job = await app.state.redis.enqueue_job("add", numbers.x, numbers.y)
    return {"task_id": job.job_id}


@app.get("/status/{task_id}")
async def get_status(task_id: str) -> dict[str, Any]:
    result = await Job(task_id, app.state.redis).result_info()
    if result is None:
        return {"task_id": task_id, "status": "PENDING", "result": None}
    return {"task_id": task_id, "status": "SUCCESS" if result.success else "FAILURE", "result": result.result}
