"""The whole service as real processes: an api, a scheduler and workers, on engines that the test brings."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.api_client import ApiClient
from tests.engines import wait_until
from tests.rabbitmq import free_ports
from tests.supervised import SupervisedPart

ROOT: Final = Path(__file__).resolve().parents[1]
WORKERS: Final = 4

#: On a machine that does much else, a part takes seconds to import what it needs.
READY_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 45.0

_COMPLAINT_CHARS: Final = 400


class Stack:
    """Api, scheduler and four workers. A part that dies is started again.

    environment is for all parts, those in `by_part` for the parts of a module or of a name; directory takes the logs.
    """

    def __init__(
        self,
        directory: Path,
        database_url: str,
        broker_url: str,
        environment: Mapping[str, str],
        by_part: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.database_url: Final = database_url
        self.broker_url: Final = broker_url
        (port,) = free_ports(1)
        self.client: Final = ApiClient(f"http://127.0.0.1:{port}")
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "BROKER_URL": broker_url,
            "PORT": str(port),
            "LOG_FORMAT": "json",
            **environment,
        }
        self._by_part = by_part or {}
        self._directory = directory
        directory.mkdir(parents=True)
        self.api: Final = self._part("api", "api")
        self.scheduler: Final = self._part("scheduler", "scheduler")
        self.workers: Final[list[SupervisedPart]] = []
        self.add_workers(WORKERS)
        #: Stand in for the scheduler when it is gone.
        self.standbys: Final[list[SupervisedPart]] = []

    def add_workers(self, count: int) -> Sequence[SupervisedPart]:
        """Return so many more workers, not yet started."""
        names = [f"worker-{len(self.workers) + number}" for number in range(1, count + 1)]
        added = [self._part(name, "worker", WORKER_NAME=name) for name in names]
        self.workers.extend(added)
        return added

    def add_standby(self) -> SupervisedPart:
        """Return one more scheduler, not yet started."""
        standby = self._part(f"scheduler-{len(self.standbys) + 2}", "scheduler")
        self.standbys.append(standby)
        return standby

    @property
    def parts(self) -> Sequence[SupervisedPart]:
        """All of them."""
        return (self.api, self.scheduler, *self.standbys, *self.workers)

    @property
    def pids(self) -> set[int]:
        """The processes that the test run has started itself."""
        return {part.pid for part in self.parts if part.pid is not None}

    def start(self) -> None:
        """Start all, and return when all are at work."""
        for part in self.parts:
            part.start()
        self.wait_until_ready()

    def stop(self) -> None:
        """Stop all in order, as a user's Ctrl-C does: workers first."""
        for group in (self.workers, (self.api, self.scheduler, *self.standbys)):
            for part in group:
                part.ask_to_stop()
            for part in group:
                code = part.wait_until_stopped(STOP_LIMIT_S)
                assert code == 0, f"{part.name} stopped with code {code}: {part.last_lines()}"

    def kill(self) -> None:
        """kill -9 all, and start none again."""
        for part in self.parts:
            part.kill_for_good()

    def wait_until_ready(self) -> None:
        """Return when the api answers and the present processes of scheduler and workers beat."""
        try:
            wait_until(lambda: self.client.is_ready() and self._all_beat(), READY_LIMIT_S, "the service is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.complaints()}") from None

    def worker_of(self, instance: str) -> SupervisedPart:
        """Return the worker that an attempt's log names."""
        return next(worker for worker in self.workers if instance.startswith(f"{worker.name}:"))

    def logged(self, part: SupervisedPart) -> list[dict[str, Any]]:
        """Return the lines of a part's log that are JSON."""
        lines = part.log_path.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def complaints(self, limit: int = 60) -> str:
        """Return the last lines of warnings, of errors, and of what is not JSON, cut to what one can read."""
        found = []
        for part in self.parts:
            text = part.log_path.read_text(errors="replace") if part.log_path.exists() else ""
            for line in text.splitlines():
                fields = json.loads(line) if line.startswith("{") else {}
                if fields.get("level") not in {"debug", "info"}:
                    found.append((fields.get("timestamp", ""), f"{part.name}: {line[:_COMPLAINT_CHARS]}"))
        return "\n".join(complaint for _, complaint in sorted(found)[-limit:])

    def _all_beat(self) -> bool:
        query = "SELECT instance_id FROM instances WHERE beat_at > clock_timestamp() - interval '2 seconds'"
        try:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                beating = {row[0] for row in connection.execute(query)}
        except psycopg.OperationalError:
            return False
        # an instance's name ends in :PID:RANDOM
        pids = {int(instance.split(":")[-2]) for instance in beating}
        return {part.pid for part in (self.scheduler, *self.workers)} <= pids

    def _part(self, name: str, module: str, **environment: str) -> SupervisedPart:
        of_part = {**self._by_part.get(module, {}), **self._by_part.get(name, {})}
        environment = {**self._environment, **of_part, **environment}
        return SupervisedPart(name, module, environment, self._directory / f"{name}.log")
