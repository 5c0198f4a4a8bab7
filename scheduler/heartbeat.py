"""The scheduler's own sign of life: a row in `instances`, as workers have one."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from core.heartbeat_file import HeartbeatFile
from core.queries import load_query

_BEAT: Final = load_query("scheduler", "beat")
_LEAVE: Final = load_query("scheduler", "leave")

INTERVAL_S: Final = 1.0


class Heartbeat:
    """Beats once a second; removes the row at a clean stop."""

    name = "heartbeat"
    session = ("SET synchronous_commit = off",)

    def __init__(self, instance_id: str, file: HeartbeatFile) -> None:
        self._row = {"instance_id": instance_id}
        self._file = file

    def step(self, connection: Connection[TupleRow]) -> float:
        """Beat."""
        connection.execute(_BEAT, self._row)
        self._file.touch()
        return INTERVAL_S

    def forget(self) -> None:
        """Nothing is remembered."""

    def leave(self, connection: Connection[TupleRow]) -> None:
        """Remove the row."""
        connection.execute(_LEAVE, self._row)

    def close(self) -> None:
        """Nothing is open."""
