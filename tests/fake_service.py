"""A stand-in for the task service that does what a test tells it: refuse, hang up, answer late, lose answers."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

NOW: Final = "2026-01-31T08:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `is_lost`: the connection ends instead, after the request has had its effect."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    is_lost: bool = False


def problem(status: int, code: str, detail: str = "no", **headers: str) -> Answer:
    """Return a refusal as the service makes it."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"status": status, "code": code, "detail": detail}, names)


Handle = Callable[[Seen], Answer]


class FakeService:
    """Accepts every job and finishes it at once; `handle` may be replaced.

    The result is what `functions` makes of the arguments, or the arguments.

    `script` holds what to answer first, in order: an answer, or None for a connection that ends without effect.
    """

    def __init__(self) -> None:
        self.seen: Final[list[Seen]] = []
        self.script: Final[deque[Answer | Handle | None]] = deque()
        self.jobs: Final[dict[str, dict[str, Any]]] = {}
        self.keys: Final[dict[str, str]] = {}
        self.connections = 0
        self.tasks: list[dict[str, Any]] = []
        self.functions: Final[dict[str, Callable[[Any], Any]]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_job(self, **members: Any) -> str:
        """Add a job that has succeeded, or what members say."""
        job = {
            "task_id": str(uuid4()),
            "task": "tasks.add",
            "status": "SUCCESS",
            "result": None,
            "error": None,
            "attempts": 1,
            "max_attempts": 6,
            "progress": None,
            "created_at": NOW,
            "due_at": NOW,
            "started_at": NOW,
            "finished_at": NOW,
        } | members
        with self._lock:
            self.jobs[job["task_id"]] = job
        return str(job["task_id"])

    def handle(self, seen: Seen) -> Answer:
        """Answer as the service does."""
        match seen.method, seen.path.strip("/").split("/"):
            case "GET", ["status", task_id] if task_id in self.jobs:
                answer = Answer(200, self.jobs[task_id])
            case "GET", ["healthz"]:
                answer = Answer(200, {"status": "alive"})
            case "GET", ["tasks", *names]:
                answer = self._describe(names)
            case "POST", ["jobs", "batch"]:
                key, jobs = seen.headers["idempotency-key"], seen.json["jobs"]
                ids = [self._accept(job["task"], job["args"], f"{key}-{number}")[0] for number, job in enumerate(jobs)]
                answer = Answer(202, {"task_ids": ids})
            case "POST", [task]:
                task_id, is_new = self._accept(task, seen.json, seen.headers["idempotency-key"])
                headers = {} if is_new else {"Idempotency-Replayed": "true"}
                answer = Answer(202, {"task_id": task_id, "status": "PENDING"}, headers)
            case _:
                answer = problem(404, "not_found", "no job")
        return answer

    def _describe(self, names: list[str]) -> Answer:
        if not names:
            return Answer(200, {"tasks": self.tasks})
        known = {task["route"]: task for task in self.tasks}
        return Answer(200, known[names[0]]) if names[0] in known else problem(404, "not_found", f"unknown task '{names[0]}'")

    def _accept(self, task: str, args: Any, key: str) -> tuple[str, bool]:
        with self._lock:
            known = self.keys.get(key)
        if known:
            return known, False
        route = task.removeprefix("tasks.")
        self.keys[key] = self.add_job(task=f"tasks.{route}", result=self.functions.get(route, lambda args: args)(args))
        return self.keys[key], True

    def _answer(self, seen: Seen) -> Answer | None:
        with self._lock:
            self.seen.append(seen)
            scripted = self.script.popleft() if self.script else self.handle
        return scripted(seen) if callable(scripted) else scripted

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer is one packet

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = service._answer(Seen(self.command, url.path, query, headers, body))
                if answer is None or answer.is_lost:
                    self.close_connection = True
                    return
                text = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
