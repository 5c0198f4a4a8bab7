"""Backup and restore of one database, by the programs that PostgreSQL has for it."""

import subprocess
from pathlib import Path

import psycopg

from tests.engines import EngineProcess


class Backup:
    """A dump of a database in a file, as docs/how-to/deploy-with-compose.md makes one."""

    def __init__(self, server: EngineProcess, database_url: str, path: Path) -> None:
        self._server = server
        self._database_url = database_url
        self._path = path

    def take(self) -> None:
        """Dump the database as it is now, beside whatever runs."""
        self._run("pg_dump", "--format=custom", f"--file={self._path}", self._database_url)

    def restore(self) -> None:
        """Put the dump in the place of the database. Nobody may be connected."""
        name = psycopg.conninfo.conninfo_to_dict(self._database_url)["dbname"]
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        self._run("pg_restore", "--exit-on-error", f"--dbname={self._database_url}", str(self._path))

    def _run(self, program: str, *arguments: str) -> None:
        server = next(word for word in self._server.engine.command() if word.endswith("/postgres"))
        subprocess.run([Path(server).with_name(program), *arguments], check=True, capture_output=True, timeout=60)
