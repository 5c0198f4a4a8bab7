"""What the command line prints: for people, or with --json for programs."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, Final

from .client import Job, Status, Task

_LABEL_CHARS: Final = 12


def print_json(value: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(value, default=_plain, ensure_ascii=False))


def print_value(value: Any) -> None:
    """Print a result, as JSON: 2 and "2" differ."""
    print_json(value)


def print_job(job: Job, as_json: bool) -> None:
    """Print the id of an accepted job."""
    if as_json:
        print_json({"task_id": job.task_id, "is_replayed": job.is_replayed})
    else:
        print(job.task_id)


def print_status(status: Status, as_json: bool) -> None:
    """Print all about a job; what it does not have yet is left out."""
    if as_json:
        print_json(status)
        return
    print(f"{status.task_id}  {clean(status.task)}  {status.status}")
    limit = "" if status.max_attempts is None else f" of {status.max_attempts}"
    lines = {
        "result": json.dumps(status.result, ensure_ascii=False) if status.status == "SUCCESS" else None,
        "error": status.error and f"{status.error.type}: {status.error.message}",
        "progress": status.progress and _progress(status),
        "attempts": f"{status.attempts}{limit}" if status.attempts else None,
        "created": _moment(status.created_at),
        "due": _moment(status.due_at) if status.due_at != status.created_at else None,
        "started": status.started_at and _moment(status.started_at),
        "finished": status.finished_at and _moment(status.finished_at),
    }
    for label, text in lines.items():
        if text:
            print(f"  {label:<{_LABEL_CHARS}}{clean(text)}")


def print_change(status: Status, as_json: bool) -> None:
    """Print one line about where a job stands now."""
    if as_json:
        print_json(status)
        return
    attempt = f"attempt {status.attempts}" if status.attempts else ""
    words = (f"{datetime.now():%H:%M:%S}", f"{status.status:<7}", attempt, _progress(status), _ending(status))  # noqa: DTZ005  # local time
    print("  ".join(word for word in words if word), flush=True)


def print_table(jobs: Sequence[Status], as_json: bool) -> None:
    """Print jobs, one a line; on a terminal cut to its width."""
    if as_json:
        print_json(jobs)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    tasks = [clean(status.task) for status in jobs]
    task_chars = max(map(len, tasks), default=0)
    for status, task in zip(jobs, tasks, strict=True):
        known = f"{status.task_id}  {status.status:<7}  {_moment(status.created_at)}  {task:<{task_chars}}"
        line = f"{known}  {_ending(status)}".rstrip()
        print(line if width is None or len(line) <= width else f"{line[: width - 1]}…")


def print_tasks(tasks: Sequence[Task], as_json: bool) -> None:
    """Print what can run, with the names of its parameters; those in brackets may be left out."""
    if as_json:
        print_json(tasks)
        return
    for task in tasks:
        required = task.schema.get("required", ())
        names = (name if name in required else f"[{name}]" for name in task.schema.get("properties", {}))
        signature = f"{task.route}({', '.join(names)})"
        print(f"{signature:<40}  {clean(task.doc.partition(chr(10))[0])}".rstrip())


def clean(text: str) -> str:
    """Return text without what could control the terminal: it comes from a task."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _ending(status: Status) -> str:
    if status.result_omitted:
        return "(a long result)"
    if status.status == "SUCCESS":
        return clean(json.dumps(status.result, ensure_ascii=False))
    return clean(f"{status.error.type}: {status.error.message}") if status.error else ""


def _progress(status: Status) -> str:
    if not status.progress:
        return ""
    done, total = status.progress.get("done"), status.progress.get("total")
    return f"{done}" if total is None else f"{done} of {total}"


def _moment(moment: datetime) -> str:
    """Return local time, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
