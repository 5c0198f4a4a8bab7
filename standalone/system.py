"""Which parts and engines the whole system has, and what they are told by their environment."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from standalone.console import Console
from standalone.data_directory import DataDirectory
from standalone.engines import Postgres, Valkey
from standalone.leash import leashed
from standalone.options import ROOT, Options
from standalone.part import EnginePart, Part

HOST: Final = "127.0.0.1"

#: Connections to the database: what the api, the scheduler and the user may need, and each worker.
_CONNECTIONS: Final = 60
_CONNECTIONS_PER_WORKER: Final = 8


@dataclass(frozen=True, slots=True)
class System:
    """All that runs, in the groups that are started and stopped together."""

    engines: tuple[EnginePart, ...]
    front: tuple[Part, ...]
    workers: tuple[Part, ...]
    environment: Mapping[str, str]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is made of our own code."""
        return (*self.front, *self.workers)


def make_system(options: Options, data: DataDirectory, console: Console, *, is_coloured: bool) -> System:
    """Describe the system; nothing is started yet."""
    connections = str(_CONNECTIONS + _CONNECTIONS_PER_WORKER * options.workers)
    postgres = Postgres(
        data.path / "postgres", data.run_path, data.log_path / "postgres.log", {"max_connections": connections}
    )
    valkey = Valkey(data.path / "valkey", data.run_path, data.log_path / "valkey.log")
    environment = _environment(options, postgres.url, valkey.url, is_coloured=is_coloured)

    def part(name: str, module: str, **variables: str) -> Part:
        return Part(name, lambda: part_command(module), {**environment, **variables}, console)

    workers = (f"worker-{number}" for number in range(1, options.workers + 1))
    return System(
        engines=(EnginePart(postgres, environment, console), EnginePart(valkey, environment, console)),
        front=(part("scheduler", "scheduler"), part("api", "api")),
        workers=tuple(part(name, "worker", WORKER_NAME=name) for name in workers),
        environment=environment,
    )


def part_command(module: str) -> list[str]:
    """Return the command line of a part: the same as in a container, but it dies with us."""
    # -P: the current directory may hold a module named as one of ours
    return leashed([sys.executable, "-P", "-m", module], signal.SIGKILL)


def _environment(options: Options, database_url: str, broker_url: str, *, is_coloured: bool) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "BROKER_URL": broker_url,
        "HOST": HOST,
        "PORT": str(options.port),
        "LOG_FORMAT": options.log_format,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        **({"FORCE_COLOR": "1"} if is_coloured else {}),
    }
