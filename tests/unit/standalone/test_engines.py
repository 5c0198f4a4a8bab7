"""The engines find their way out of what a killed run can leave behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from standalone.console import Console
from standalone.engines import Valkey, check_socket_path
from standalone.errors import StandaloneError
from standalone.leftovers import end_leftovers, servers_in
from standalone.part import EnginePart, Pauses
from tests.engines import EngineProcess, private_postgres, private_valkey, wait_until

_NUMBERS = count()


@pytest.fixture
def place(engine_directory: Path) -> Path:
    """A directory for this test whose path is short enough for sockets."""
    return engine_directory / f"unit-{next(_NUMBERS)}"


@pytest.fixture
def database(place: Path) -> Iterator[EngineProcess]:
    with private_postgres(place) as process:
        yield process


def test_database_starts_although_another_process_has_the_number_of_its_killed_server(database: EngineProcess) -> None:
    database.kill()
    pid_file = database.engine.data_path / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # As root the server runs as nobody, and takes only a process of nobody's for a living server.
    with subprocess.Popen(["/bin/sleep", "60"], user=database.engine.data_path.stat().st_uid) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        database.start()
        psycopg.connect(database.url).close()
        other.kill()


def test_half_made_database_is_made_anew(place: Path) -> None:
    fresh = place / "postgres.new"
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    with private_postgres(place) as process, psycopg.connect(process.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_database_of_another_version_is_refused_with_a_sentence(place: Path) -> None:
    process = private_postgres(place)
    process.engine.data_path.mkdir(parents=True)
    (process.engine.data_path / "PG_VERSION").write_text("16\n")
    with pytest.raises(StandaloneError, match=r"belongs to PostgreSQL 16 and this version brings 18: move it away"):
        process.start()


def test_directory_that_is_no_database_is_refused_with_a_sentence(place: Path) -> None:
    process = private_postgres(place)
    (process.engine.data_path / "photos").mkdir(parents=True)
    with pytest.raises(StandaloneError, match="is not a directory of PostgreSQL"):
        process.start()


def test_database_listens_on_no_network_interface(database: EngineProcess) -> None:
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_queue_that_ends_in_the_middle_of_a_write_is_read_up_to_there(place: Path) -> None:
    with private_valkey(place) as process:
        _client(place).lpush("queue", "one", "two")
        process.kill()
        (log,) = (process.engine.data_path / "appendonlydir").glob("*.incr.aof")
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - 3)
        process.start()
        assert _client(place).ping()


def test_queue_that_cannot_be_read_is_put_aside_and_the_next_start_serves(place: Path) -> None:
    with private_valkey(place) as process:
        _client(place).lpush("queue", "one")
    (log,) = (process.engine.data_path / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"this is no command\r\n" * 10)
    assert isinstance(process.engine, Valkey)
    assert "valkey could not read its files" in asyncio.run(_serve_once(process.engine, place))
    assert (place / "valkey.broken").is_dir()


async def _serve_once(engine: Valkey, place: Path) -> str:
    """Keep it running until it serves, and return what was said; or raise why it does not."""
    console = Console(os.open(place / "said", os.O_WRONLY | os.O_CREAT), "console", is_coloured=False)
    part = EnginePart(engine, dict(os.environ), console, Pauses(0.01, 0.05))
    task = asyncio.create_task(part.keep_running())
    ready = asyncio.create_task(part.wait_until_ready())
    await asyncio.wait({task, ready}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    part.stop()
    await task
    console.close()
    return (place / "said").read_text()


def test_engine_that_never_starts_stops_everything_with_its_last_words(place: Path) -> None:
    process = private_valkey(place)
    engine = Valkey(process.engine.data_path, place / "run", place / "valkey.log", ["--no-such-option", "1"])
    with pytest.raises(StandaloneError, match=r"valkey does not start: .*\(.*valkey.log\)"):
        asyncio.run(_serve_once(engine, place))


def test_leftover_server_is_waited_for_and_then_killed(place: Path) -> None:
    with private_valkey(place) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)  # it does not end by itself
        assert list(servers_in(process.engine.data_path, "valkey-server")) == [process.pid]
        waiting = [sys.executable, "-c", _END, str(process.engine.data_path)]
        with subprocess.Popen(waiting) as other:
            wait_until(lambda: process.pid is None, 10.0, "the leftover was killed")
            assert other.wait(10) == 0


_END = """
import sys
from pathlib import Path
from standalone.leftovers import end_leftovers
end_leftovers(Path(sys.argv[1]), "valkey-server", patience_s=0.1)
"""


def test_program_of_the_user_in_the_data_directory_is_no_leftover(place: Path) -> None:
    place.mkdir()
    with subprocess.Popen(["/bin/sleep", "60"], cwd=place) as other:
        end_leftovers(place, "postgres", patience_s=0.0)
        assert other.poll() is None
        other.kill()


def test_path_that_is_too_long_for_a_socket_is_refused_with_a_sentence() -> None:
    with pytest.raises(StandaloneError, match="longer than 107 bytes, too long for a socket: set TMPDIR"):
        check_socket_path(Path("/", "x" * 107))


def _client(place: Path) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(place / "run/valkey.sock"))
