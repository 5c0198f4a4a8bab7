"""The task service on the command line.

    task-service tasks                                    what can run, and what it takes
    task-service submit add --x 2 --y 3 --wait            or: submit add '{"x": 2, "y": 3}'
    task-service status TASK_ID

Exit codes: 0 done; 1 the job that was waited for failed or was revoked; 2 wrong usage, or the service refuses;
3 the service cannot be reached; 4 the job has not finished in time; 130 Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from . import completion
from .arguments import add_task_arguments, collect_arguments
from .client import DEFAULT_URL, Client, ClientError, Job, Status, Unavailable, WaitTimeout
from .output import print_change, print_job, print_json, print_status, print_table, print_tasks, print_value

DONE, NO_SUCCESS, REFUSED, UNREACHABLE, NOT_IN_TIME, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 4, 130, 141

Options = argparse.Namespace
Parser = argparse.ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises SystemExit (code 2) for wrong usage, as argparse does."""
    options = make_parser().parse_args(arguments)
    try:
        with Client(options.url, timeout_s=options.timeout) as client:
            code: int = options.run(client, options)
            sys.stdout.flush()
            return code
    except (ClientError, ValueError, TypeError) as error:
        print(f"{options.program}: {error}", file=sys.stderr)
        return _code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, as `head`, has enough; Python would complain when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def make_parser() -> Parser:
    """Return the parser of all verbs; it puts the function to call into `run`."""
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = Parser(
        prog=_program(),
        description=summary,
        epilog=rest.strip("\n"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[_common(DEFAULT_URL)],
    )
    parser.set_defaults(program=parser.prog)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(name: str, run: Callable[[Client, Options], int], purpose: str, *parents: Parser) -> Parser:
        told: dict[str, Any] = {"help": purpose, "description": f"{purpose[:1].upper()}{purpose[1:]}."} if purpose else {}
        verb = verbs.add_parser(name, parents=[_common(), *parents], allow_abbrev=False, **told)
        verb.set_defaults(run=run)
        return verb

    submit = add("submit", _submit, "have a task run", _submit_options())
    submit.add_argument("task", help="its name; `tasks` lists all, `submit TASK --help` says what it takes")
    submit.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="...", help="its arguments: --NAME VALUE, or one JSON object"
    )
    for name, run, purpose in (
        ("status", _status, "show where a job stands"),
        ("watch", _watch, "show each change of a job until it has finished"),
        ("cancel", _cancel, "cancel a job"),
        ("retry", _retry, "run a failed or revoked job again, as a new job"),
    ):
        add(name, run, purpose, *([_wait_option()] if name == "retry" else [])).add_argument("task_id")
    _add_list_options(add("list", _list, "list jobs, newest first"))
    add("tasks", _tasks, "list what can run")
    shell = add("completion", completion.print_script, 'print shell completion, for eval "$(task-service completion bash)"')
    shell.add_argument("shell", choices=completion.SHELLS)
    add("complete", completion.print_candidates, "").add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _common(url: str | None = None) -> Parser:
    """Return what every verb takes, before and after it; only the former has defaults."""
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    defaults = {"url": os.environ.get("TASK_SERVICE_URL", url), "timeout": 10.0, "json": False} if url else {}
    parser.add_argument("--url", help=f"where the service is; else $TASK_SERVICE_URL, else {DEFAULT_URL}")
    parser.add_argument("--timeout", type=float, metavar="S", help="longest time for an answer, in seconds; 10")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(**defaults)
    return parser


def _wait_option() -> Parser:
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    parser.add_argument(
        "--wait", type=float, nargs="?", const=60.0, metavar="S", help="wait for the result, S seconds at most; 60"
    )
    return parser


def _submit_options() -> Parser:
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False, parents=[_wait_option()])
    parser.add_argument("--delay", type=float, metavar="S", help="not before S seconds from now")
    parser.add_argument("--eta", type=_moment, metavar="TIME", help="not before, as 2030-01-31T08:00; local time, or +HH:MM")
    parser.add_argument("--priority", type=int, metavar="0..9", help="9 is first")
    parser.add_argument("--expires", type=float, metavar="S", help="not started after S seconds: never")
    parser.add_argument("--key", help="idempotency key: the same gives the same job for a day")
    return parser


def _add_list_options(parser: Parser) -> None:
    parser.add_argument("--task", default=None)
    parser.add_argument("--status", default=None, type=str.upper, choices=completion.STATUSES)
    parser.add_argument("--after", default=None, type=_moment, metavar="TIME", help="created after; local time, or +HH:MM")
    parser.add_argument("--before", default=None, type=_moment, metavar="TIME", help="created before")
    parser.add_argument("--limit", default=20, type=int, metavar="N", help="how many at most; 20")


def _submit(client: Client, options: Options) -> int:
    task = client.task(options.task)
    parser = Parser(
        prog=f"{options.program} submit {task.route}",
        description=task.doc,
        parents=[_common(), _submit_options()],
        allow_abbrev=False,
    )
    add_task_arguments(parser, task.route, task.schema)
    given = parser.parse_args(options.rest, options)
    job = client.submit(
        task.name,
        collect_arguments(given),
        idempotency_key=getattr(given, "key", None),
        delay_s=getattr(given, "delay", None),
        eta=getattr(given, "eta", None),
        priority=getattr(given, "priority", None),
        expires_s=getattr(given, "expires", None),
    )
    return _conclude(job, given)


def _status(client: Client, options: Options) -> int:
    print_status(client.status(options.task_id), options.json)
    return DONE


def _watch(client: Client, options: Options) -> int:
    code = NO_SUCCESS
    for status in client.watch(options.task_id):
        print_change(status, options.json)
        code = _success(status)
    return code


def _cancel(client: Client, options: Options) -> int:
    print_status(client.cancel(options.task_id), options.json)
    return DONE


def _retry(client: Client, options: Options) -> int:
    return _conclude(client.retry(options.task_id), options)


def _list(client: Client, options: Options) -> int:
    jobs = client.jobs(
        task=options.task,
        status=options.status,
        created_after=options.after,
        created_before=options.before,
        page_size=max(1, min(options.limit, 200)),
    )
    print_table(list(islice(jobs, options.limit)), options.json)
    return DONE


def _tasks(client: Client, options: Options) -> int:
    print_tasks(client.tasks(), options.json)
    return DONE


def _conclude(job: Job, options: Options) -> int:
    """Print the new job's id; with --wait its result instead."""
    if not hasattr(options, "wait"):
        print_job(job, options.json)
        return DONE
    status = job.wait(timeout_s=options.wait)
    if options.json:
        print_json(status)
    elif status.status == "SUCCESS":
        print_value(status.result)
    else:
        print(f"{options.program}: {status.failure()}", file=sys.stderr)
    return _success(status)


def _success(status: Status) -> int:
    return DONE if status.status == "SUCCESS" else NO_SUCCESS


def _code_of(error: Exception) -> int:
    match error:
        case Unavailable():
            return UNREACHABLE
        case WaitTimeout():
            return NOT_IN_TIME
        case _:
            return REFUSED


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()


def _program() -> str:
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # as argparse does
    return f"python -m {__package__}" if name == "__main__.py" else name
