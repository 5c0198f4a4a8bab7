"""The limit: a bare FastAPI route with a pydantic body that gives back what it got."""

from fastapi import FastAPI
from pydantic import BaseModel


class Numbers(BaseModel):
    x: int
    y: int


app = FastAPI()


@app.post("/add")
async def add(numbers: Numbers) -> Numbers:
    return numbers


@app.get("/status/{task_id}")
async def get_status(task_id: str) -> dict[str, str]:
    return {"task_id": task_id}
