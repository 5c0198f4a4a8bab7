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
from typing import Final

from . import completion
from .arguments import add_task_arguments, collect_arguments
from .client import ADVICE, DEFAULT_URL, PROGRAM, ApiError, Client, ClientError, Job, Status, Unavailable, WaitTimeout
from .output import print_change, print_job, print_json, print_status, print_table, print_tasks, print_value

#: ./dev starts client.py then, not this.
DEMO: Final = "\n\nWithout a verb: the demo, 150 jobs whose results are checked; --url, and --count N for another number."
DONE, NO_SUCCESS, REFUSED, UNREACHABLE, NOT_IN_TIME, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 4, 130, 141

Options = argparse.Namespace
Parser = argparse.ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises SystemExit (code 2) for wrong usage, as argparse does."""
    words = sys.argv[1:] if arguments is None else arguments
    options = make_parser(for_shells="complete" in words).parse_args(words)
    try:
        with Client(options.url, timeout_s=options.timeout) as client:
            code: int = options.run(client, options)
            sys.stdout.flush()
            return code
    except (ClientError, ValueError, TypeError) as error:
        print(f"{options.program}: {error}{_advice(error)}", file=sys.stderr)
        return _code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader, as `head`, has enough; Python would complain when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def make_parser(*, for_shells: bool = False) -> Parser:
    """Return the parser of all verbs; it puts the function to call into `run`.

    for_shells: also of the verb that only completion uses.
    """
    program = _program()
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = Parser(
        prog=program,
        description=summary + (DEMO if PROGRAM else ""),
        epilog=rest.strip("\n").replace("task-service", program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[_common(DEFAULT_URL)],
    )
    parser.set_defaults(program=parser.prog)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(name: str, run: Callable[[Client, Options], int], purpose: str, *parents: Parser) -> Parser:
        told = f"{purpose[:1].upper()}{purpose[1:]}."
        verb = verbs.add_parser(name, parents=[_common(), *parents], allow_abbrev=False, help=purpose, description=told)
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
    if for_shells:
        internal = add("complete", completion.print_candidates, "print what the last word may become")
        internal.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _common(url: str | None = None) -> Parser:
    """Return what every verb takes, before and after it; only the former has defaults."""
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    defaults = {"url": os.environ.get("TASK_SERVICE_URL", url), "timeout": 10.0, "json": False} if url else {}
    parser.add_argument("--url", help=f"where the service is; else $TASK_SERVICE_URL, else {DEFAULT_URL}")
    parser.add_argument("--timeout", type=float, metavar="S", help="longest time for an answer, in seconds (default: 10)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(**defaults)
    return parser


def _wait_option() -> Parser:
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False)
    parser.add_argument(
        "--wait", type=float, nargs="?", const=60.0, metavar="S", help="wait for the result, at most S seconds (default: 60)"
    )
    return parser


def _submit_options() -> Parser:
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS, allow_abbrev=False, parents=[_wait_option()])
    parser.add_argument("--delay", type=float, metavar="S", help="not before S seconds from now")
    parser.add_argument("--eta", type=_moment, metavar="TIME", help="not before, as 2030-01-31T08:00; local time, or +HH:MM")
    parser.add_argument("--priority", type=int, metavar="0..9", help="9 is first")
    parser.add_argument("--expires", type=float, metavar="S", help="give up if not started within S seconds")
    parser.add_argument("--key", help="idempotency key: the same gives the same job for a day")
    return parser


def _add_list_options(parser: Parser) -> None:
    parser.add_argument("--task", default=None)
    parser.add_argument("--status", default=None, type=str.upper, choices=completion.STATUSES)
    parser.add_argument("--after", default=None, type=_moment, metavar="TIME", help="created after; local time, or +HH:MM")
    parser.add_argument("--before", default=None, type=_moment, metavar="TIME", help="created before")
    parser.add_argument("--limit", default=20, type=_number, metavar="N", help="how many at most (default: 20)")


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
    status = client.cancel(options.task_id)
    print_status(status, options.json)
    if not status.is_finished:
        print(f"asked to stop; {options.program} watch {status.task_id} shows its end", file=sys.stderr)
    return DONE


def _retry(client: Client, options: Options) -> int:
    return _conclude(client.retry(options.task_id), options)


def _list(client: Client, options: Options) -> int:
    jobs = client.jobs(
        task=options.task,
        status=options.status,
        created_after=options.after,
        created_before=options.before,
        page_size=min(options.limit + 1, 200),
    )
    found = list(islice(jobs, options.limit + 1))  # one more tells whether there are more
    print_table(found[: options.limit], options.json)
    if not found:
        print("no jobs", file=sys.stderr)
    elif len(found) > options.limit:
        print("there are more: --limit N, --before TIME", file=sys.stderr)
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


def _advice(error: Exception) -> str:
    """Return what to do if it is not the service that answers, or nothing."""
    match error:
        case ApiError(code="not_understood"):
            return f". {ADVICE}"
        case Unavailable() if not isinstance(error.__cause__, ApiError):
            return f". {ADVICE}"
        case _:
            return ""


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()


def _program() -> str:
    if PROGRAM:
        return PROGRAM
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # as argparse does
    return f"python -m {__package__}" if name == "__main__.py" else name
