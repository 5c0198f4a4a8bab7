"""Start the whole system on this machine: `python -m standalone`, or `./dev run`."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

from standalone.console import Console
from standalone.data_directory import DataDirectory, claim
from standalone.errors import StandaloneError
from standalone.options import Options, parse_options
from standalone.supervisor import supervise
from standalone.system import HOST, make_system


def main(arguments: Sequence[str]) -> int:
    """Run until a signal; return the exit code.

    0 stopped in good order, 130 at once, 1 could not be started, 64 the command line was not understood.
    """
    options = parse_options(arguments)
    is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    console = Console(sys.stdout.fileno(), options.log_format, is_coloured=is_coloured)
    try:
        with claim(options.data_path) as data:
            options = _take_port(options)
            is_clean = asyncio.run(_run(options, data, console, is_coloured))
    except StandaloneError as error:
        console.close()
        print(f"./dev run: {error}", file=sys.stderr)
        return 1
    console.close()
    return 0 if is_clean else 130


async def _run(options: Options, data: DataDirectory, console: Console, is_coloured: bool) -> bool:
    return await supervise(make_system(options, data, console, is_coloured=is_coloured), options, console)


def _take_port(options: Options) -> Options:
    """Return the options with a port that nobody has now. Raises StandaloneError if another program has the chosen one."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, options.port))
        except OSError as error:
            raise StandaloneError(
                f"port {options.port} cannot be had ({error.strerror}): choose another with --port"
            ) from error
        return replace(options, port=candidate.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
