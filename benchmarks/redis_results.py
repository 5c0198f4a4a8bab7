"""Contestants that keep their results in a Valkey database of their own, one key each and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import redis

from benchmarks.contestant import Contestant, Engines


class RedisResults(Contestant):
    """A result is a key."""

    def __init__(self, name: str, python: Path, engines: Engines) -> None:
        super().__init__(name, python, engines)
        self.redis = redis.Redis(unix_socket_path=str(engines.valkey_socket), db=engines.valkey_database)

    def count_finished(self) -> int:
        """One key per result."""
        return int(self.redis.dbsize())

    def values(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return what the keys hold; None for one that is not there."""
        return cast("list[bytes | None]", self.redis.mget(keys))  # this client decodes nothing

    def clear(self) -> None:
        """Drop all keys."""
        self.redis.flushdb()
