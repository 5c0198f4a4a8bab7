"""The sign of life for health checks: a file that is as young as the last heartbeat which reached the database."""

from contextlib import suppress
from pathlib import Path


class HeartbeatFile:
    """Touches a file; looking at its age costs a health check next to nothing. An empty path: no file."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None

    def touch(self) -> None:
        """Make the file young."""
        if self._path is not None:
            # Where it cannot be written, the health check fails and says so; the heartbeat itself must go on.
            with suppress(OSError):
                self._path.touch()
