"""Completion for bash and zsh: a few lines in the shell ask this program, and this program asks the service."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Final

from .arguments import choices
from .client import Client, ClientError, Task

BASH: Final = """\
_task_service() {
    local IFS=$'\\n'
    COMPREPLY=($(task-service complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -F _task_service task-service
"""
ZSH: Final = """\
_task_service() {
    local -a candidates
    candidates=("${(@f)$(task-service complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a candidates
}
compdef _task_service task-service
"""
SHELLS: Final = {"bash": BASH, "zsh": ZSH}

#: A key press that waits longer is a nuisance.
LIMIT_S: Final = 2.0
JOBS_SHOWN: Final = 20
UUID_CHARS: Final = 36
COMMON_OPTIONS: Final = ("--json", "--url", "--timeout", "--help")
WAIT_OPTION: Final = "--wait"
SUBMIT_OPTIONS: Final = (WAIT_OPTION, "--delay", "--eta", "--priority", "--expires", "--key")
LIST_OPTIONS: Final = ("--task", "--status", "--after", "--before", "--limit")
STATUSES: Final = ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")
#: verb -> the statuses of the jobs that it is for
JOB_VERBS: Final = {
    "status": STATUSES,
    "watch": STATUSES[:3],
    "cancel": STATUSES[:3],
    "retry": STATUSES[4:],
}
VERBS: Final = ("submit", *JOB_VERBS, "list", "tasks", "completion")


def print_script(_client: Client, options: argparse.Namespace) -> int:
    """Print what a shell evaluates to complete our words."""
    print(SHELLS[options.shell], end="")
    return 0


def print_candidates(_client: Client, options: argparse.Namespace) -> int:
    """Print what the last word may become, one a line; nothing if the service cannot be asked."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    *before, current = words or [""]
    url = next((after for word, after in pairwise(before) if word == "--url"), options.url)
    try:
        with Client(url, timeout_s=LIMIT_S) as client:
            found = [word for word in find_candidates(client, before, current) if word.startswith(current)]
    except (ClientError, ValueError):
        return 0
    print("\n".join(found))
    return 0


def find_candidates(client: Client, before: Sequence[str], current: str) -> Iterator[str]:
    """Yield what may stand behind the words before, instead of the current one. Raises ClientError."""
    start = next((place for place, word in enumerate(before) if word in VERBS), len(before))
    verb, *rest = before[start:] or [""]
    last = rest[-1] if rest else ""
    if not verb:
        yield from (*VERBS, *COMMON_OPTIONS)
    elif verb == "completion":
        yield from SHELLS
    elif verb == "submit":
        yield from _after_submit(client.tasks(), rest, last)
    elif verb == "list" and last == "--status":
        yield from STATUSES
    elif verb == "list" and last == "--task":
        yield from (task.route for task in client.tasks())
    elif verb == "list":
        yield from _unused((*LIST_OPTIONS, *COMMON_OPTIONS), rest)
    else:
        if verb in JOB_VERBS and not current.startswith("-") and not any(len(word) == UUID_CHARS for word in rest):
            yield from _job_ids(client, JOB_VERBS[verb])
        yield from _unused((*((WAIT_OPTION,) if verb == "retry" else ()), *COMMON_OPTIONS), rest)


def _after_submit(tasks: Sequence[Task], rest: Sequence[str], last: str) -> Iterator[str]:
    chosen = next((task for word in rest for task in tasks if word in (task.route, task.name)), None)
    if chosen is None:
        yield from (task.route for task in tasks)
        return
    parameters = chosen.schema.get("properties", {})
    parameter = parameters.get(last.removeprefix("--")) if last.startswith("--") else None
    if parameter is not None:
        yield from choices(parameter, chosen.schema)
    else:
        yield from _unused((*(f"--{name}" for name in parameters), *SUBMIT_OPTIONS, *COMMON_OPTIONS), rest)


def _unused(options: Sequence[str], rest: Sequence[str]) -> Iterator[str]:
    return (option for option in options if option not in rest)


def _job_ids(client: Client, statuses: Sequence[str]) -> Iterator[str]:
    return (job.task_id for job in islice(client.jobs(page_size=JOBS_SHOWN), JOBS_SHOWN) if job.status in statuses)
