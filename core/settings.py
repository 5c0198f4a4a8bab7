"""The one table of settings. Every part reads the same environment; docs/reference/settings.md is made from this class."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError
from core.queue_names import QUEUE_NAME_RULE, is_queue_name

#: Settings that carry a password. NAME_FILE may name a file with the value instead, as containers hand out secrets.
FROM_FILE: Final = ("DATABASE_URL", "BROKER_URL")

#: What a worker's process takes before its first attempt is half of it, and more with what the tasks import.
LEAST_MEMORY_MIB: Final = 128


class Settings(BaseSettings):
    """Frozen settings, read from environment variables of the same names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True)

    database_url: str = Field(
        description="PostgreSQL, as libpq takes it: postgresql://user@host/db or ...?host=/socket/dir;"
        " or DATABASE_URL_FILE names a file that holds it"
    )
    broker_url: str = Field(
        description="RabbitMQ (amqp://, amqps://) or Valkey/Redis (redis://, redis+socket://);"
        " or BROKER_URL_FILE names a file that holds it"
    )
    task_modules: str = Field("tasks", description="Import paths of the packages or modules with tasks, comma separated")

    host: str = Field("127.0.0.1", description="Address that the api listens on")
    port: int = Field(8000, ge=0, le=65535, description="Port that the api listens on")
    allowed_hosts: str = Field(
        "localhost,127.0.0.1,[::1]", description="Host headers that the api answers to, comma separated; * for any"
    )
    connection_limit: int = Field(
        10_000,
        ge=1,
        description="Most open connections of one api process; fewer where the system allows it fewer open files",
    )

    log_format: Literal["console", "json"] = Field("console", description="Readable lines, or one JSON object a line")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level shown")
    heartbeat_file: str = Field(
        "",
        description="File that scheduler and worker touch at each heartbeat that reached the database,"
        " a worker only while it is well; empty: none",
    )

    queue_type: Literal["classic", "quorum"] = Field(
        "classic", description="RabbitMQ queue type: classic on one node, quorum on a cluster"
    )
    worker_queues: str = Field("", description="Queues that a worker serves, comma separated; empty: all that tasks name")
    worker_slots: int = Field(1, ge=1, le=256, description="Attempts that one worker runs at a time")
    worker_name: str = Field("", description="Name of this worker in logs and history; empty: the host's name")
    prefetch: int = Field(16, ge=1, le=256, description="Messages that a worker takes from the broker ahead, per slot")
    drain_s: float = Field(30.0, ge=0, le=3600, description="Seconds a stopping worker lets its jobs finish")

    max_retries: int = Field(5, ge=0, le=1000, description="Retries after the first attempt, unless the task says otherwise")
    retry_base_s: float = Field(1.0, gt=0, le=3600, description="Longest wait before the first retry, in seconds")
    retry_cap_s: float = Field(600.0, gt=0, le=86400, description="Longest wait before any retry, in seconds")
    max_losses: int = Field(5, ge=1, le=1000, description="Attempts that may vanish with their worker before FAILURE")
    soft_time_limit_s: float = Field(600.0, gt=0, description="Seconds until SoftTimeLimitExceeded is raised in a task")
    time_limit_s: float = Field(660.0, gt=0, description="Seconds until an attempt's process is killed")
    memory_limit_mib: int = Field(
        0,
        ge=0,
        description="Resident memory in MiB beyond which an attempt's process is killed, and the attempt with it;"
        " one that keeps more than half of that between attempts is replaced; 0: no limit",
    )
    result_limit_bytes: int = Field(1024 * 1024, ge=1024, description="Longest result as JSON; longer is FAILURE")

    body_limit_bytes: int = Field(256 * 1024, ge=1024, description="Longest body of a single submission")
    batch_body_limit_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Longest body of a batch of jobs")
    batch_limit: int = Field(10_000, ge=1, le=10_000, description="Most jobs in a batch")
    depth_limit: int = Field(32, ge=1, le=150, description="Deepest nesting of JSON in a submission")
    digits_limit: int = Field(1000, ge=1, le=4000, description="Most digits of an integer in a submission")
    delay_limit_s: float = Field(30 * 86400.0, gt=0, description="Longest delay of a job, in seconds")
    wait_limit_s: float = Field(60.0, ge=0, le=3600, description="Longest wait for a result in one request, in seconds")
    backlog_limit: int = Field(1_000_000, ge=1, description="Unfinished jobs beyond which submissions get 503")
    idempotency_ttl_s: float = Field(86400.0, gt=0, description="Seconds an Idempotency-Key is remembered")
    retention_s: float = Field(7 * 86400.0, gt=0, description="Seconds a finished job is kept")

    publish_window: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Most messages of a queue at the broker, which are those of half a second; the rest waits in SQL",
    )

    @field_validator("database_url")
    @classmethod
    def _database_is_postgresql(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://, as in postgresql://user:password@host:5432/database")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker_is_known(cls, value: str) -> str:
        if not value.startswith(("amqp://", "amqps://", "redis://", "rediss://", "redis+socket://")):
            raise ValueError("must start with amqp://, amqps://, redis://, rediss:// or redis+socket://")
        return value

    @field_validator("worker_queues")
    @classmethod
    def _queues_have_names(cls, value: str) -> str:
        wrong = [name for name in _split(value) if not is_queue_name(name)]
        if wrong:
            raise ValueError(f"{wrong[0]!r:.120} cannot be a queue's name; write {QUEUE_NAME_RULE}")
        return value

    @field_validator("memory_limit_mib")
    @classmethod
    def _memory_limit_leaves_room(cls, value: int) -> int:
        if 0 < value < LEAST_MEMORY_MIB:
            raise ValueError(f"must be 0 or at least {LEAST_MEMORY_MIB}: a process that has run nothing yet takes that")
        return value

    @model_validator(mode="after")
    def _soft_limit_comes_first(self) -> Self:
        if self.soft_time_limit_s >= self.time_limit_s:
            raise ValueError("soft_time_limit_s must be smaller than time_limit_s")
        return self

    @property
    def task_module_names(self) -> tuple[str, ...]:
        """The import paths of task_modules, in order."""
        return _split(self.task_modules)

    @property
    def allowed_host_names(self) -> tuple[str, ...]:
        """The hosts of allowed_hosts, in lower case."""
        return tuple(host.lower() for host in _split(self.allowed_hosts))

    @property
    def worker_queue_names(self) -> tuple[str, ...]:
        """The queues of worker_queues; empty means all that tasks name."""
        return _split(self.worker_queues)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Return the settings of this process's environment. Raises ConfigurationError that names every bad variable."""
    try:
        return Settings(**_read_files(os.environ))  # type: ignore[arg-type]  # the environment fills the others
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


def _read_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings whose values stand in files. Raises ConfigurationError that names the variable and the file."""
    values = {}
    for name in FROM_FILE:
        variable = f"{name}_FILE"
        path = environment.get(variable)
        if not path:
            continue
        if environment.get(name):
            raise ConfigurationError(f"{name} and {variable} are both set: remove one of them")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(f"{variable}: {path} cannot be read: {reason}") from None
        if not value:
            raise ConfigurationError(f"{variable}: {path} is empty; it must hold what {name} would")
        values[name.lower()] = value
    return values


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper() or "settings"
        lines.append(f"{name}: {'is not set' if problem['type'] == 'missing' else problem['msg']}")
    return "; ".join(lines) + ". Set the environment variable and start again (docs/reference/settings.md lists all)."
