"""Tell when source files have changed."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

#: Packages whose change restarts the parts.
PACKAGES: Final = ("api", "core", "scheduler", "tasks", "worker")

_POLL_S: Final = 0.5
_SUFFIXES: Final = (".py", ".sql")


def source_roots(root: Path, task_modules: str) -> list[Path]:
    """Return what to watch: our packages, and the packages or modules of TASK_MODULES (import paths, comma separated)."""
    roots = {root / package for package in PACKAGES}
    for top in {name.strip().partition(".")[0] for name in task_modules.split(",")} - {""}:
        spec = find_spec(top)
        if spec is not None and spec.submodule_search_locations is not None:
            roots.update(map(Path, spec.submodule_search_locations))
        elif spec is not None and spec.origin is not None:
            roots.add(Path(spec.origin))
    return sorted(roots)


class Sources:
    """The source files below roots, known as they are when this is made: before what runs them starts to read them."""

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots: Final = list(roots)
        self._known = _stamps(self._roots)

    async def changes(self, poll_s: float = _POLL_S) -> AsyncGenerator[list[Path]]:
        """Yield the changed files each time that they are quiet again after a change. Polls: a hundred files cost 1 ms."""
        while True:
            await asyncio.sleep(poll_s)
            current = _stamps(self._roots)
            if current != self._known:
                await asyncio.sleep(poll_s / 5)  # an editor or a checkout writes more than one file
                while (later := _stamps(self._roots)) != current:
                    current = later
                    await asyncio.sleep(poll_s / 5)
                yield sorted({path for path, _ in self._known.items() ^ current.items()})
                self._known = current


def _stamps(roots: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    stamps = {}
    for path in (path for root in roots for path in _files(root)):
        with suppress(OSError):  # it has just gone
            stat = path.stat()
            stamps[path] = (stat.st_mtime_ns, stat.st_size)
    return stamps


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for directory, directories, files in os.walk(root):
        directories[:] = [name for name in directories if name != "__pycache__"]
        yield from (Path(directory, name) for name in files if name.endswith(_SUFFIXES))
