"""The engines of one run: private, on free ports and sockets, with the settings that standalone ships (fsync on)."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
import redis
from kombu import Connection

from benchmarks.contestant import Engines
from standalone.engines import Postgres, Valkey
from tests.engines import EngineProcess
from tests.rabbitmq import RabbitMQProcess, private_rabbitmq

#: As a result store it keeps nothing on disk, which is the faster half of what tutorials do.
_VALKEY_OPTIONS: Final = ("--appendonly", "no", "--databases", "64")


class EngineSet:
    """PostgreSQL, Valkey and RabbitMQ. Data go to data_path, a real disk; sockets to run_path, a short path."""

    def __init__(self, data_path: Path, run_path: Path) -> None:
        self._valkey_socket = run_path / "valkey.sock"
        self._postgres = EngineProcess(Postgres(data_path / "postgres", run_path, data_path / "postgres.log"))
        self._valkey = EngineProcess(Valkey(data_path / "valkey", run_path, data_path / "valkey.log", _VALKEY_OPTIONS))
        self._rabbitmq: RabbitMQProcess = private_rabbitmq(data_path / "rabbitmq")
        self._processes = (self._rabbitmq, self._postgres, self._valkey)
        self._given = 0

    def __enter__(self) -> Self:
        try:
            self._rabbitmq.begin_start()  # takes the longest
            for process in self._processes:
                process.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()

    def give(self, name: str) -> Engines:
        """Make a database, a virtual host and a Valkey database for one contestant."""
        number, self._given = self._given, self._given + 1
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return Engines(
            postgres_url=self._postgres.url.replace("/postgres?", f"/{name}?"),
            rabbitmq_url=self._rabbitmq.engine.vhost_url(number),
            valkey_socket=self._valkey_socket,
            valkey_database=number,
        )

    @property
    def pids(self) -> Mapping[str, set[int]]:
        """The processes of each engine that were started here; others descend from them."""
        return {process.engine.name: process.pids for process in self._processes}

    def versions(self) -> Mapping[str, str]:
        """Return what each engine says it is."""
        with psycopg.connect(self._postgres.url) as connection:
            postgres = connection.info.parameter_status("server_version") or "?"
        valkey = redis.Redis(unix_socket_path=str(self._valkey_socket)).info("server")["valkey_version"]
        with Connection(self._rabbitmq.url) as broker:
            broker.connect()
            rabbitmq = broker.connection.server_properties["version"]
        return {"PostgreSQL": postgres, "Valkey": str(valkey), "RabbitMQ": rabbitmq}
