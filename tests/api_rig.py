"""The api for tests: a real server on a free port, in a thread; a registry of tasks; a hand that plays the worker."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, LiteralString, Self
from uuid import UUID, uuid4

import psycopg
import requests
import uvloop
from pydantic import BaseModel

from api.app import create_app
from api.server import ApiServer, open_listener
from core.parameters import read_parameters
from core.queries import load_query
from core.registry import Registry, TaskSpec
from core.settings import Settings
from core.signatures import Signature
from worker.attempt_store import TURN, turn_parameters
from worker.outcome import Attempt, Failed, Succeeded

WAIT_LIMIT_S: Final = 10.0
ADD: Final = {"x": 2, "y": 3}


class Line(BaseModel):
    """A model that tasks take, with a definition of its own."""

    sku: str
    parts: list["Line"] = []


def add(x: int, y: int) -> int:
    """Add two integers."""
    return x + y


def upper_case(text: str) -> str:
    """Turn text into upper case."""
    return text.upper()


def order(lines: list[Line], note: Any = None) -> None:
    """Take models, and anything."""


def ping() -> None:
    """Take nothing."""


def spec_of(name: str, function: Callable[..., Any]) -> TaskSpec:
    """Return the spec of a task without Celery, whose tasks are global to a process."""
    return TaskSpec(
        name=name,
        route=name.removeprefix("tasks."),
        queue="default",
        doc=function.__doc__ or "",
        max_attempts=6,
        signature=Signature(name, read_parameters(name, function)),
    )


def make_registry() -> Registry:
    """Return the registry of this module's tasks."""
    specs = [spec_of(f"tasks.{function.__name__}", function) for function in (add, upper_case, order, ping)]
    return Registry(
        specs=MappingProxyType({spec.name: spec for spec in specs}),
        by_route=MappingProxyType({spec.route: spec for spec in specs}),
    )


def make_settings(database_url: str, **values: Any) -> Settings:
    """Return settings without a broker: the api does not know one."""
    return Settings(database_url=database_url, broker_url="redis://nowhere", **values)


class RunningApi:
    """A served application. Its address is `url`; `app.state.services` is what its endpoints share."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings, make_registry())
        self.services = self.app.state.services
        self._listener = open_listener("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = ApiServer(self.app, self.services.watch.release, settings.connection_limit)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.session = requests.Session()

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.server.started, "the api serves")
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.server.should_exit = True
        self._thread.join(WAIT_LIMIT_S)
        assert not self._thread.is_alive(), "the api did not stop"

    def get(self, path: str, **options: Any) -> requests.Response:
        """Send GET."""
        return self.session.get(self.url + path, timeout=WAIT_LIMIT_S, allow_redirects=False, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Send POST with a body as JSON."""
        return self.session.post(self.url + path, json=body, timeout=WAIT_LIMIT_S, **options)

    def post_bytes(self, path: str, body: bytes, content_type: str = "application/json") -> requests.Response:
        """Send POST with a body to the letter."""
        return self.session.post(self.url + path, body, headers={"Content-Type": content_type}, timeout=WAIT_LIMIT_S)

    def submit(self, path: str = "/add", body: Any = None, **options: Any) -> str:
        """Return the task_id of an accepted job."""
        response = self.post(path, ADD if body is None else body, **options)
        assert response.status_code == 202, response.text
        return str(response.json()["task_id"])

    def send_raw(self, data: bytes, limit_s: float = WAIT_LIMIT_S) -> "RawResponse":
        """Return the answer to bytes as they are."""
        with socket.create_connection(("127.0.0.1", self.port), limit_s) as client:
            client.sendall(data)
            return read_response(client)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.server.serve([self._listener]))


@dataclass(frozen=True)
class RawResponse:
    """A response, parsed as little as needed."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return json.loads(self.body)


def read_response(client: socket.socket) -> RawResponse:
    """Return the next response of a connection. Raises EOFError if it ends before."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(client)
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += _receive(client)
    return RawResponse(int(status_line.split()[1]), headers, body)


def _receive(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise EOFError("the connection was closed")
    return data


def request_bytes(method: str, target: str, *headers: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """Return a request to the letter."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Hand:
    """Does to jobs what a worker does, with the worker's own statements."""

    def __init__(self, database_url: str) -> None:
        self.connection = psycopg.connect(database_url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def claim(self, task_id: str, series: int = 1) -> UUID:
        """Begin an attempt; return its token."""
        token = uuid4()
        parameters = {"task_id": UUID(task_id), "series": series, "token": token, "worker": "hand"}
        assert self._run("claim", parameters) == 1
        return token

    def finish(self, task_id: str, token: UUID, result: str = "5") -> None:
        """Record a success; result is JSON text."""
        self._end(task_id, token, Succeeded(result))

    def fail(self, task_id: str, token: UUID, error: str, traceback: str) -> None:
        """Record a failure for good; error is JSON text."""
        self._end(task_id, token, Failed(error, traceback))

    def retry(self, task_id: str, token: UUID, error: str) -> None:
        """Record a failed attempt that is followed by another."""
        parameters = {"task_id": UUID(task_id), "token": token, "delay_s": 0.0, "error": error, "traceback": "trace"}
        assert self._run("retry", parameters) == 1

    def run(self, task_id: str, result: str = "5") -> None:
        """Do the whole job."""
        self.finish(task_id, self.claim(task_id), result)

    def count(self, query: LiteralString) -> int:
        """Return the number that a query gives."""
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def beat(self, part: str, age_s: float = 0.0) -> None:
        """Make an instance of a part whose heart beat so long ago."""
        self.connection.execute(
            "INSERT INTO instances (instance_id, part, beat_at) VALUES (%s, %s, now() - %s * interval '1 second')",
            [f"{part}-{uuid4()}", part, age_s],
        )

    def _end(self, task_id: str, token: UUID, outcome: Succeeded | Failed) -> None:
        ended = turn_parameters([(Attempt(UUID(task_id), token, "tasks.add"), outcome)])
        assert self.connection.execute(TURN, ended | {"worker": "hand"}).rowcount == 1

    def _run(self, name: str, parameters: dict[str, Any]) -> int:
        query = load_query("worker", name)
        known = set(re.findall(r"%\((\w+)\)s", query))
        assert known <= parameters.keys()
        return self.connection.execute(query, {key: parameters[key] for key in known}).rowcount


def wait_until(condition: Callable[[], object], what: str, limit_s: float = WAIT_LIMIT_S) -> None:
    """Return when condition holds. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s} s: {what}")
        time.sleep(0.005)
