"""FastAPI in front of dramatiq: `def` routes, for send() blocks."""

from typing import Any

from dramatiq.results import ResultMissing
from fastapi import FastAPI
from pydantic import BaseModel

from tasks import add as add_actor

app = FastAPI()


class Numbers(BaseModel):
    x: int
    y: int


@app.post("/add")
def add(numbers: Numbers) -> dict[str, Any]:
    message = add_actor.send(numbers.x, numbers.y)
    return {"task_id": message.message_id}


@app.get("/status/{task_id}")
def get_status(task_id: str) -> dict[str, Any]:
    try:
        result = add_actor.message().copy(message_id=task_id).get_result()
    except ResultMissing:
        return {"task_id": task_id, "status": "PENDING", "result": None}
    return {"task_id": task_id, "status": "SUCCESS", "result": result}
