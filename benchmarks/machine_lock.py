"""Only one benchmark at a time: a second one would spoil the figures of the first, and its files."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError


@contextmanager
def only_one(place: Path) -> Iterator[None]:
    """Hold the lock of this directory. Raises BenchmarkError if another process holds it."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchmarkError(f"another benchmark is running in {place}") from None
        yield
