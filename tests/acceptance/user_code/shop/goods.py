"""Tasks that return, report and log."""

import logging
import time
from pathlib import Path
from typing import Any

import structlog
from celery import Task, shared_task

#: Nobody is waited for longer than this.
LIMIT_S = 60.0


@shared_task(name="shop.returns")
def returns(value: Any) -> Any:
    """Give back what was given."""
    return value


@shared_task(name="shop.holds")
def holds(diary: str) -> str:
    """Append a line to the file `diary`, and wait until there is a file `diary`.go."""
    with Path(diary).open("a") as file:
        file.write("begun\n")
    _wait_for(Path(f"{diary}.go"))
    return "let go"


@shared_task(name="shop.counts", bind=True)
def counts(self: Task, diary: str, steps: int) -> int:
    """Report progress up to the middle, wait until there is a file `diary`.go, and report to the end."""
    for step in range(steps):
        if step == steps // 2:
            Path(diary).touch()
            _wait_for(Path(f"{diary}.go"))
        self.progress(step + 1, steps)
    return steps


@shared_task(name="shop.talks")
def talks(word: str) -> None:
    """Say a word in all ways in which a task can log."""
    logging.getLogger("shop").warning("%s by logging", word)
    structlog.get_logger().warning(f"{word} by structlog")
    print(f"{word} by print")
    nothing: dict[str, str] = {}
    try:
        nothing[word]
    except KeyError:
        logging.getLogger("shop").exception("%s with a traceback", word)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not come")
        time.sleep(0.01)
