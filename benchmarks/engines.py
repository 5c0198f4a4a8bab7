"""The engines of one run: private, on free ports and sockets, with the settings that standalone ships (fsync on)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
import redis
from kombu import Connection

from benchmarks.contestant import Engines
from benchmarks.database_work import LOG_LINE_PREFIX
from standalone.engines import Postgres, Valkey
from tests.engines import EngineProcess
from tests.rabbitmq import RabbitMQ, private_rabbitmq

#: "broker" is a Valkey as standalone sets it up; "valkey" is the store of results.
ENGINES: Final = ("rabbitmq", "postgres", "valkey", "broker")

#: As a result store it keeps nothing on disk, which is the faster half of what tutorials do.
_VALKEY_OPTIONS: Final = ("--appendonly", "no", "--databases", "64")
#: All contestants are connected at the same time.
_POSTGRES_SETTINGS: Final = {"max_connections": "300", "log_line_prefix": LOG_LINE_PREFIX}


class EngineSet:
    """The named engines. Data go to data_path, a real disk; sockets to run_path, a short path."""

    def __init__(self, data_path: Path, run_path: Path, names: Sequence[str] = ENGINES) -> None:
        self._valkey_socket = run_path / "valkey.sock"
        (run_path / "broker").mkdir()
        made: dict[str, EngineProcess] = {
            "rabbitmq": private_rabbitmq(data_path / "rabbitmq"),
            "postgres": EngineProcess(
                Postgres(data_path / "postgres", run_path, data_path / "postgres.log", _POSTGRES_SETTINGS)
            ),
            "valkey": EngineProcess(Valkey(data_path / "valkey", run_path, data_path / "valkey.log", _VALKEY_OPTIONS)),
            "broker": EngineProcess(Valkey(data_path / "broker", run_path / "broker", data_path / "broker.log")),
        }
        self._processes = {name: process for name, process in made.items() if name in names}
        self._all = made
        self._given = 0

    def __enter__(self) -> Self:
        try:
            if "rabbitmq" in self._processes:
                self._processes["rabbitmq"].begin_start()  # takes the longest
            for process in self._processes.values():
                process.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes.values():
            process.kill()

    def give(self, name: str) -> Engines:
        """Make a database, a virtual host and a Valkey database for one contestant."""
        number, self._given = self._given, self._given + 1
        rabbitmq, postgres = self._all["rabbitmq"].engine, self._all["postgres"]
        assert isinstance(rabbitmq, RabbitMQ)
        if "postgres" in self._processes:
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
        return Engines(
            postgres_url=postgres.url.replace("/postgres?", f"/{name}?"),
            rabbitmq_url=rabbitmq.vhost_url(number),
            valkey_socket=self._valkey_socket,
            valkey_database=number,
            broker_url=self._all["broker"].url,
        )

    @property
    def pids(self) -> Mapping[str, set[int]]:
        """The processes of each engine that were started here; others descend from them."""
        return {name: process.pids for name, process in self._processes.items()}

    def log_path(self, name: str) -> Path:
        """Return the file that takes what an engine writes."""
        return self._all[name].engine.log_path

    def versions(self) -> Mapping[str, str]:
        """Return what each engine says it is."""
        with psycopg.connect(self._all["postgres"].url) as connection:
            postgres = connection.info.parameter_status("server_version") or "?"
        valkey = redis.Redis(unix_socket_path=str(self._valkey_socket)).info("server")["valkey_version"]
        with Connection(self._all["rabbitmq"].url) as broker:
            broker.connect()
            rabbitmq = broker.connection.server_properties["version"]
        return {"PostgreSQL": postgres, "Valkey": str(valkey), "RabbitMQ": rabbitmq}
