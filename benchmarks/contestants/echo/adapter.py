"""How to run the bare echo."""

import json
from collections.abc import Sequence

from benchmarks.contestant import Command, Contestant, Sum


class Adapter(Contestant):
    """Takes no jobs: only its answers are measured."""

    title = "bare FastAPI route that returns its pydantic body; no job, nothing stored"

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn."""
        return [Command("api", self.uvicorn(port))]

    def read_answer(self, job: Sum, body: bytes) -> str:
        """The answer is the request's body again."""
        if json.loads(body) != {"x": job.x, "y": job.y}:
            raise ValueError(f"not an echo of job {job.index}: {body!r}")
        return str(job.index)

    def expected_status(self, job: Sum) -> object:
        """The id, for that is all there is."""
        return str(job.index)

    def read_status(self, body: bytes) -> object:
        """Return the id."""
        return json.loads(body)["task_id"]

    def count_finished(self) -> int:
        """It runs none."""
        return 0

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """None has a result."""
        return [None] * len(task_ids)
