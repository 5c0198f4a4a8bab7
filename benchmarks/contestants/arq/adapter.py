"""How to run arq."""

import pickle
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Command, Engines
from benchmarks.redis_results import RedisResults

#: arq's names for where it keeps results, and what waits or runs.
RESULT_PREFIX = "arq:result:"
QUEUE = "arq:queue"


class Adapter(RedisResults):
    """Everything is in one database of Redis."""

    title = "FastAPI `async` route with enqueue_job; arq, four processes; all in Redis (Valkey without AOF)"
    packages = ("arq", "redis", "fastapi", "uvicorn", "pydantic")
    engine_names = ("valkey",)

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self._environment = {"REDIS_SOCKET": str(engines.valkey_socket), "REDIS_DATABASE": str(engines.valkey_database)}

    def api(self, port: int) -> Sequence[Command]:
        """One process of uvicorn."""
        return [Command("api", self.uvicorn(port), self._environment)]

    def workers(self) -> Sequence[Command]:
        """Four workers; by default each runs up to ten jobs at a time and looks for new ones twice a second."""
        arq = [str(self.python), "-m", "arq", "tasks.WorkerSettings"]
        return [Command("worker", arq, self._environment, count=4)]

    def count_finished(self) -> int:
        """Count the results once nothing waits; before that, the number that waits, negative: to find them takes long."""
        unfinished = int(self.redis.zcard(QUEUE))
        return -unfinished if unfinished else len(self.redis.keys(f"{RESULT_PREFIX}*"))

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """As Job.result_info() reads them; what is pickled was written by our own worker."""
        stored = self.values([RESULT_PREFIX + task_id for task_id in task_ids])
        results = [pickle.loads(value) if value else {"s": False} for value in stored]
        return [result["r"] if result["s"] else None for result in results]
