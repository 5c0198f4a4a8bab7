"""What a contestant is: one folder in contestants/ with its program, its pinned requirements and an adapter.

The adapter says how to start it, how to submit, and how to know that all are done; everything else is the same for all.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.broker_queue import BrokerQueue
from benchmarks.load import get, post

CONTESTANTS_PATH: Final = Path(__file__).with_name("contestants")

#: The same for every api: one process, the fastest loop and parser, no line per request.
UVICORN_OPTIONS: Final = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class Sum:
    """One job: add x and y. Each has another result, so that a mix-up is seen."""

    index: int

    @property
    def x(self) -> int:
        """The first argument."""
        return self.index

    @property
    def y(self) -> int:
        """The second argument."""
        return 2 * self.index + 1

    @property
    def result(self) -> int:
        """What the job must end with."""
        return 3 * self.index + 1


@dataclass(frozen=True, slots=True)
class Engines:
    """What a contestant may use of the engines.

    A database, a virtual host and a Valkey database of its own; and the Valkey that is set up as a broker, which is for one.
    """

    postgres_url: str
    rabbitmq_url: str
    valkey_socket: Path
    valkey_database: int
    broker_url: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A part of a contestant, and how many processes of it run."""

    part: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    count: int = 1


class Contestant(ABC):
    """One stack. The measurements call nothing but these."""

    #: One line for the report: what is inside, and how it is set up.
    title: str
    #: The distributions whose versions the report names.
    packages: Sequence[str] = ("fastapi", "uvicorn", "pydantic")
    #: The RabbitMQ queue that carries its jobs; None: nothing does.
    queue_name: str | None = None
    #: The engines that it needs, by their names in engines.py.
    engine_names: Sequence[str] = ()
    #: Whether a job that it loses voids the run.
    is_ours = False

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        self.name = name
        self.path = CONTESTANTS_PATH / name
        self.python = python
        self.engines = engines

    @abstractmethod
    def api(self, port: int) -> Sequence[Command]:
        """Return what takes the requests, with everything that publishes jobs; the first listens on the port."""

    def workers(self) -> Sequence[Command]:
        """Return what runs the jobs: four processes in all. Empty: it runs none."""
        return ()

    @property
    def runs_jobs(self) -> bool:
        """Tell whether jobs have outcomes."""
        return bool(self.workers())

    def prepare(self) -> None:
        """Do what comes before the first start, such as making tables."""
        return

    def submission(self, job: Sum) -> bytes:
        """Return the bytes of the request that submits the job."""
        return post("/add", b'{"x": %d, "y": %d}' % (job.x, job.y))

    def expected(self, job: Sum) -> object:
        """Return what read_results() must give for the job."""
        return job.result

    def expected_status(self, job: Sum) -> object:
        """Return what read_status() must give for the job."""
        return job.result

    def read_answer(self, job: Sum, body: bytes) -> str:
        """Return the id in an answer to a submission. Raises ValueError if the answer is wrong."""
        task_id = json.loads(body)["task_id"]
        if not isinstance(task_id, str) or not task_id:
            raise ValueError(f"no task_id for job {job.index}")
        return task_id

    @abstractmethod
    def count_finished(self) -> int:
        """Return how many jobs since the last clear() have an outcome that a client can read. Called often: it is cheap."""

    @abstractmethod
    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        """Return the result of each job, straight from the store; None where it has none or has failed."""

    def status(self, task_id: str) -> bytes:
        """Return the bytes of the request that asks for one job."""
        return get(f"/status/{task_id}")

    def read_status(self, body: bytes) -> object:
        """Return the result in an answer to status(); None if the job has not succeeded."""
        answer = json.loads(body)
        return answer["result"] if answer["status"] == "SUCCESS" else None

    def awaiting(self, task_id: str) -> bytes:
        """Return the request by which a client waits for the end of one job: one that lasts until then, or a poll."""
        return self.status(task_id)

    def clear(self) -> None:
        """Forget all jobs; no request is under way."""
        return

    def close(self) -> None:
        """Give back connections that would be counted; the next call opens them again."""
        return

    def open_queue(self) -> BrokerQueue | None:
        """Return the queue that carries its jobs."""
        return BrokerQueue(self.engines.rabbitmq_url, self.queue_name) if self.queue_name else None

    def uvicorn(self, port: int, application: str = "api:app") -> list[str]:
        """Return the command line of one process of uvicorn, the same for all."""
        return [str(self.python), "-m", "uvicorn", application, "--port", str(port), *UVICORN_OPTIONS]


class Batching(Contestant):
    """What only our own stack is asked for."""

    is_ours = True

    @abstractmethod
    def batch_submission(self, jobs: Sequence[Sum]) -> bytes:
        """Return the bytes of the request that submits all these jobs."""

    @abstractmethod
    def urgent_submission(self, job: Sum) -> bytes:
        """Return the bytes of the request that submits the job before all others that wait."""

    @abstractmethod
    def fill(self, finished: int, queued: int) -> None:
        """Put so many jobs into an empty store."""


def adapter_of(name: str) -> type[Contestant]:
    """Return the class in contestants/<name>/adapter.py."""
    found: type[object] = import_module(f"benchmarks.contestants.{name}.adapter").Adapter
    assert issubclass(found, Contestant)
    return found


def load_contestant(name: str, python: Path, engines: Engines) -> Contestant:
    """Make the contestant of contestants/<name>/."""
    return adapter_of(name)(name, python, engines)
