"""What the user can choose on the command line."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

#: The repository: the parts' code is here.
ROOT: Final = Path(__file__).resolve().parents[1]

EX_USAGE: Final = 64


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    port: int = 8000
    workers: int = 4
    data_path: Path = ROOT / ".data"
    reload: bool = False
    log_format: Literal["console", "json"] = "console"


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line. Exits with one sentence on stderr if it cannot be understood."""
    parser = _Parser(prog="./dev run", description="Start the whole system on this machine; Ctrl-C stops it.")
    default = Options()
    parser.add_argument("--port", type=_port, default=default.port, help="port of the api (%(default)s; 0 takes a free one)")
    parser.add_argument("--workers", type=_workers, default=default.workers, help="number of workers (%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=default.data_path, help="keeps the jobs over restarts (.data)")
    parser.add_argument("--reload", action="store_true", help="restart the parts when tasks or code change")
    parser.add_argument("--log-format", choices=("console", "json"), default=default.log_format, help="%(default)s")
    chosen = parser.parse_args(arguments)
    return Options(
        port=chosen.port,
        workers=chosen.workers,
        data_path=chosen.data_dir.absolute(),
        reload=chosen.reload,
        log_format=chosen.log_format,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(EX_USAGE)


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _workers(text: str) -> int:
    return _number(text, 1, 64)


def _number(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a number from {least} to {most}, not {text!r}")
    return int(text)
