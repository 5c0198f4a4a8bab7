"""A client for the task service, in one file that needs nothing but `requests`: copy it, or install the directory it is in.

    with Client("http://127.0.0.1:8000") as client:
        job = client.submit("add", x=2, y=3)
        print(job.result())                                                             # 5
        for total in client.map("add", ({"x": n, "y": 1} for n in range(10_000))):      # in order, as they come
            print(total)

Whatever goes wrong is one of these, and every wait has a limit:

    ClientError
    ├── Unavailable           no answer in time, or only 503s
    ├── ApiError              refused: `status`, `code`, `detail`, `errors`
    │   ├── InvalidRequest    400, 413, 415, 422; `errors` says what is wrong where
    │   ├── NotFound          404
    │   └── Conflict          409
    ├── WaitTimeout           a TimeoutError; `status` says how far the job is
    └── JobError              the job did not succeed; `status` is all about it
        ├── JobFailed         `type` and `message` are those of the task's exception
        └── JobRevoked        cancelled, or expired before its start

A request whose answer is lost is sent again. It carries an idempotency key, so no job is made twice.
`python client.py` is a demo: it runs 150 jobs and checks every result.
"""

import argparse
import json
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import date, datetime
from datetime import time as clock_time
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from queue import Empty, SimpleQueue
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

try:
    import requests
except ModuleNotFoundError:
    if __name__ != "__main__":
        raise
    print("client.py: this Python has no requests: type ./dev client, or first pip install requests", file=sys.stderr)
    sys.exit(2)

VERSION: Final = "0.1.0"
DEFAULT_URL: Final = "http://127.0.0.1:8000"

#: How long one try may take to connect, and to be answered; a wait adds its own time.
CONNECT_LIMIT_S: Final = 3.0
ANSWER_LIMIT_S: Final = 10.0
BATCH_ANSWER_LIMIT_S: Final = 60.0
#: The service takes twice as much in one request.
BATCH_BYTES: Final = 8 * 1024 * 1024
#: Pause after try n, from 0: full jitter, uniform in [0, min(cap, base * 2 ** n)] (AWS, "Exponential Backoff and Jitter").
PAUSE_BASE_S: Final = 0.1
PAUSE_CAP_S: Final = 5.0
#: Answers that pass: too many requests, and what a service or a proxy before it says while the service restarts.
PASSING: Final = frozenset({429, 502, 503, 504})
#: How long the service is asked to hold a wait. Shorter than what proxies take for a dead connection.
WAIT_STEP_S: Final = 10.0
#: How long the threads of `map` do; they cannot be interrupted.
MAP_STEP_S: Final = 2.0
MAP_THREADS: Final = 8
#: Even when the time is over, an answer may take so long.
LAST_ANSWER_S: Final = 1.0
#: How long the demo waits for a result before it asks whether the service is there.
SILENCE_S: Final = 2.0
RESULT_LIMIT_S: Final = 60.0
#: Pause after a wait that was answered early, so that a service that does not wait is not flooded.
EARLY_PAUSE_S: Final = 0.2

#: ./dev passes the name that it is called by.
PROGRAM: Final = os.environ.get("TASK_SERVICE_PROGRAM")
ADVICE: Final = "Start the service with ./dev run, or say where it is with --url"

T = TypeVar("T")


class ClientError(Exception):
    """The root: one `except` catches everything that this client raises on purpose."""


class Unavailable(ClientError):
    """The service gave no answer in time. The request may have arrived; with the same idempotency key, send it again."""


class ApiError(ClientError):
    """The service refused. Program by `code`, it is stable; `errors` names each offending place of an invalid request."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(status, code, detail, errors)
        self.status, self.code, self.detail, self.errors = status, code, detail, tuple(errors)
        self.retry_after_s = 0.0

    def __str__(self) -> str:
        return f"{self.detail} ({self.status} {self.code})"


class InvalidRequest(ApiError):
    """The task does not take these arguments, or the service not these options."""


class NotFound(ApiError):
    """No such task, or no such job (any more)."""


class Conflict(ApiError):
    """The job is in a state in which this cannot be done."""


class WaitTimeout(ClientError, TimeoutError):
    """The job has not finished in time; it runs on."""

    def __init__(self, status: "Status", timeout_s: float) -> None:
        super().__init__(status, timeout_s)
        self.status, self.timeout_s = status, timeout_s

    def __str__(self) -> str:
        return f"job {self.status.task_id} ({self.status.task}) is still {self.status.status} after {self.timeout_s:g} s"


class JobError(ClientError):
    """The job has finished, without success."""

    def __init__(self, status: "Status") -> None:
        super().__init__(status)
        self.status = status
        failure = status.error or Failure(status.status, "no reason given")
        self.type, self.message = failure.type, failure.message

    def __str__(self) -> str:
        job = f"job {self.status.task_id} ({self.status.task}) is {self.status.status}"
        return f"{job} after {self.status.attempts} attempts: {self.type}: {self.message}"


class JobFailed(JobError):
    """The last attempt failed."""


class JobRevoked(JobError):
    """The job was cancelled, or expired before its start."""


ERRORS: Final = {**dict.fromkeys((400, 413, 415, 422), InvalidRequest), 404: NotFound, 409: Conflict}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: the exception's class and text."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a job stands. `status` is PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED; the last three are final.

    `result_omitted`: the result was too long for the list of jobs; Client.status has it.
    """

    task_id: str
    task: str
    status: str
    result: Any
    error: Failure | None
    attempts: int
    max_attempts: int | None
    progress: Mapping[str, Any] | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result_omitted: bool = False

    @property
    def is_finished(self) -> bool:
        """A finished job never changes again."""
        return self.finished_at is not None

    def failure(self) -> "JobError | None":
        """Return what value() raises, None if nothing."""
        kind = {"FAILURE": JobFailed, "REVOKED": JobRevoked}.get(self.status)
        return kind and kind(self)

    def value(self) -> Any:
        """Return the result; None while there is none. Raises JobFailed, JobRevoked; ValueError if it was omitted."""
        if failure := self.failure():
            raise failure
        if self.result_omitted:
            raise ValueError(f"the list left out the result of {self.task_id}; Client.status has it")
        return self.result


@dataclass(frozen=True, slots=True)
class Job:
    """A job that the service has accepted: it will run. `is_replayed`: an earlier request with the same key made it."""

    task_id: str
    is_replayed: bool
    client: "Client" = field(repr=False, compare=False)

    def status(self) -> Status:
        """Return where it stands."""
        return self.client.status(self.task_id)

    def wait(self, *, timeout_s: float = 60.0) -> Status:
        """Return its status once it has finished, however it ended. Raises WaitTimeout."""
        return self.client.wait(self.task_id, timeout_s=timeout_s)

    def result(self, *, timeout_s: float = 60.0) -> Any:
        """Wait and return the task's return value. Raises JobFailed, JobRevoked, WaitTimeout."""
        return self.wait(timeout_s=timeout_s).value()

    def cancel(self) -> Status:
        """Cancel it. Raises Conflict if it has finished."""
        return self.client.cancel(self.task_id)

    def retry(self) -> "Job":
        """Run it again as a new job, if it failed or was revoked. Raises Conflict."""
        return self.client.retry(self.task_id)


@dataclass(frozen=True, slots=True)
class Task:
    """What can run. `schema` is the JSON Schema of its arguments."""

    name: str
    route: str
    queue: str
    doc: str
    priority: int
    max_attempts: int | None
    soft_time_limit_s: float | None
    time_limit_s: float | None
    schema: Mapping[str, Any]


class Client:
    """Talks to one service, over connections that it keeps. May be used by many threads; close it, or use it in `with`.

    timeout_s is the longest that a call takes, all tries together; a wait adds its own time. Proxies and certificates are
    taken from the environment as `requests` does (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE), but no proxy for localhost.
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, timeout_s: float = 30.0) -> None:
        host = urlsplit(base_url).hostname
        if not base_url.startswith(("http://", "https://")) or not host:
            raise ValueError(f"base_url is http:// or https:// and a host, as in {DEFAULT_URL}, not {base_url!r}")
        self.base_url: Final = base_url.rstrip("/")
        self.timeout_s: Final = timeout_s
        session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=32)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.headers.update({"Accept": "application/json", "User-Agent": f"task-service-client/{VERSION}"})
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # nothing that threads would change
        environment = session.merge_environment_settings(self.base_url, {}, None, None, None)
        session.trust_env = False  # read once, just now, and not for each request
        session.verify = environment["verify"]
        session.proxies = {} if host in ("localhost", "127.0.0.1", "::1") else environment["proxies"]
        self._session: Final = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def submit(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        delay_s: float | None = None,
        eta: datetime | None = None,
        priority: int | None = None,
        expires_s: float | None = None,
        **more_args: Any,
    ) -> Job:
        """Have a task run, with the arguments in `args` (whatever their names) and by name. Returns when that is certain.

        Not before delay_s from now, or eta (with a time zone); priority 0 to 9 is first; expires_s: not started by then,
        never. The same idempotency_key gives the same job for a day. Datetimes, UUIDs, dataclasses and pydantic models
        are sent as JSON; other values that JSON does not have are a TypeError or ValueError.
        """
        options = {"delay_s": delay_s, "eta": eta and eta.isoformat(), "priority": priority, "expires_s": expires_s}
        response = self._request(
            "POST",
            f"/{quote(task.removeprefix('tasks.'), safe='')}",
            f"submit {task}",
            _encode({**(args or {}), **more_args}),
            query=options,
            key=idempotency_key or uuid4().hex,
        )
        return self._job(response)

    def submit_many(self, task: str, inputs: Iterable[Mapping[str, Any]], *, timeout_s: float | None = None) -> list[Job]:
        """Have a task run once for each of up to 10,000 inputs; all are accepted or none."""
        jobs = [_encode({"task": task, "args": args}) for args in inputs]
        return self._submit_batch(task, jobs, self.timeout_s if timeout_s is None else timeout_s)

    def status(self, task_id: str, *, wait_s: float = 0.0) -> Status:
        """Return where a job stands; with wait_s (at most 60) when it has finished, but after wait_s at the latest."""
        return self._status(task_id, wait_s, self.timeout_s)

    def wait(self, task_id: str, *, timeout_s: float = 60.0) -> Status:
        """Return the status of a job once it has finished, however it ended. Raises WaitTimeout."""
        *_, last = self._follow(task_id, timeout_s, WAIT_STEP_S)
        return last

    def watch(self, task_id: str, *, timeout_s: float = 3600.0) -> Iterator[Status]:
        """Yield the status of a job now, and whenever it has changed, until it has finished. Raises WaitTimeout."""
        seen = self.status(task_id)
        yield seen
        if not seen.is_finished:
            for status in self._follow(task_id, timeout_s, 1.0):
                if status != seen:
                    yield status
                seen = status

    def map(
        self,
        task: str,
        inputs: Iterable[Mapping[str, Any]],
        *,
        batch_size: int = 1000,
        timeout_s: float = 600.0,
        return_errors: bool = False,
    ) -> Iterator[Any]:
        """Run a task once for each input; yield the results in the order of the inputs, as they come.

        Begins at once, and keeps at most two batches (of up to 10,000) ahead of the reader, so inputs may be endless.
        Lives through restarts of the service: each next result may take timeout_s, else WaitTimeout or Unavailable.
        A job without success raises JobFailed or JobRevoked and ends the iterator, the other jobs run on; with
        return_errors these errors are yielded instead.
        """
        if not 1 <= batch_size <= 10_000:
            raise ValueError(f"batch_size is 1 to 10000, not {batch_size}")
        batches = self._submit_batches(task, inputs, batch_size, timeout_s)
        first = next(batches, [])  # now, and not when the first result is asked for
        return self._results(first, batches, batch_size, timeout_s, return_errors)

    def cancel(self, task_id: str) -> Status:
        """Cancel a job: one that runs is interrupted, and REVOKED some seconds later. Raises Conflict if it has finished."""
        try:
            self._request("POST", f"/jobs/{quote(str(task_id), safe='')}/cancel", f"cancel {task_id}")
        except Conflict:
            status = self.status(task_id)
            if status.status != "REVOKED":  # cancelled already, perhaps by a try whose answer was lost
                raise
            return status
        return self.status(task_id)

    def retry(self, task_id: str) -> Job:
        """Run a job that failed or was revoked again, as a new job. Raises Conflict."""
        path = f"/jobs/{quote(str(task_id), safe='')}/retry"
        return self._job(self._request("POST", path, f"retry {task_id}", key=uuid4().hex))

    def task(self, name: str) -> Task:
        """Return what a task takes. Raises NotFound that suggests a similar name."""
        response = self._request("GET", f"/tasks/{quote(name, safe='')}", f"look up {name}")
        return _read(response, lambda answer: _make(Task, answer))

    def tasks(self) -> list[Task]:
        """Return all that can run."""
        response = self._request("GET", "/tasks", "list the tasks")
        return _read(response, lambda answer: [_make(Task, task) for task in answer["tasks"]])

    def jobs(
        self,
        *,
        task: str | None = None,
        status: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Status]:
        """Yield jobs, newest first, page by page (of up to 200) as they are asked for."""
        query: dict[str, Any] = {"task": task, "status": status, "limit": page_size, "cursor": None}
        query["created_after"] = created_after and created_after.isoformat()
        query["created_before"] = created_before and created_before.isoformat()
        while True:
            response = self._request("GET", "/jobs", "list jobs", query=query)
            yield from _read(response, lambda page: [_make_status(job) for job in page["jobs"]])
            query["cursor"] = _read(response, lambda page: page["next"])
            if query["cursor"] is None:
                return

    def _status(self, task_id: str, wait_s: float, timeout_s: float) -> Status:
        query = {"wait": wait_s} if wait_s else None
        path = f"/status/{quote(str(task_id), safe='')}"
        response = self._request("GET", path, f"read {task_id}", query=query, timeout_s=timeout_s, wait_s=wait_s)
        return _read(response, _make_status)

    def _follow(self, task_id: str, timeout_s: float, step_s: float) -> Iterator[Status]:
        """Yield the status after each wait of step_s, until the job has finished. Raises WaitTimeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            asked_at = time.monotonic()
            left_s = max(0.0, deadline - asked_at)
            step_s = min(step_s, left_s)
            status = self._status(task_id, step_s, max(left_s - step_s, LAST_ANSWER_S))
            yield status
            if status.is_finished:
                return
            now = time.monotonic()
            if now >= deadline:
                raise WaitTimeout(status, timeout_s)
            time.sleep(max(0.0, min(asked_at + EARLY_PAUSE_S, deadline) - now))

    def _job(self, response: requests.Response) -> Job:
        is_replayed = response.headers.get("Idempotency-Replayed") == "true"
        return _read(response, lambda answer: Job(answer["task_id"], is_replayed, self))

    def _submit_batch(self, task: str, jobs: Sequence[bytes], timeout_s: float) -> list[Job]:
        if not jobs:
            return []
        response = self._request(
            "POST",
            "/jobs/batch",
            f"submit {len(jobs)} jobs of {task}",
            b'{"jobs":[%s]}' % b",".join(jobs),
            key=uuid4().hex,
            timeout_s=timeout_s,
            answer_s=BATCH_ANSWER_LIMIT_S,
        )
        return _read(response, lambda answer: [Job(task_id, False, self) for task_id in answer["task_ids"]])

    def _submit_batches(
        self, task: str, inputs: Iterable[Mapping[str, Any]], batch_size: int, timeout_s: float
    ) -> Iterator[list[Job]]:
        """Submit a batch whenever one is asked for."""
        batch: list[bytes] = []
        size_bytes = 0
        for args in inputs:
            job = _encode({"task": task, "args": args})
            if len(batch) == batch_size or (batch and size_bytes + len(job) > BATCH_BYTES):
                yield self._submit_batch(task, batch, timeout_s)
                batch, size_bytes = [], 0
            batch.append(job)
            size_bytes += len(job)
        yield self._submit_batch(task, batch, timeout_s)

    def _wait_a_moment(self, job: Job) -> Status | None:
        try:
            status = self._status(job.task_id, MAP_STEP_S, MAP_STEP_S)
        except Unavailable:
            return None
        return status if status.is_finished else None

    def _results(
        self, jobs: Iterable[Job], batches: Iterator[list[Job]], batch_size: int, timeout_s: float, return_errors: bool
    ) -> Iterator[Any]:
        """Threads wait for the oldest jobs, each for a moment; what takes longer is waited for here, with all patience."""
        accepted = deque(jobs)
        asked: deque[tuple[Job, Future[Status | None]]] = deque()
        pool = ThreadPoolExecutor(MAP_THREADS, "map")
        try:
            while True:
                if len(accepted) < batch_size:
                    accepted.extend(next(batches, ()))
                while accepted and len(asked) < 2 * MAP_THREADS:
                    job = accepted.popleft()
                    asked.append((job, pool.submit(self._wait_a_moment, job)))
                if not asked:
                    return
                job, future = asked.popleft()
                status = future.result() or job.wait(timeout_s=timeout_s)
                error = status.failure()
                if error and not return_errors:
                    raise error
                yield error or status.result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _request(
        self,
        method: str,
        path: str,
        doing: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        wait_s: float = 0.0,
        timeout_s: float | None = None,
        answer_s: float = ANSWER_LIMIT_S,
    ) -> requests.Response:
        """Return the answer to a request that may be sent more than once. Raises ApiError; Unavailable, naming `doing`."""
        limit_s = (self.timeout_s if timeout_s is None else timeout_s) + wait_s
        deadline = time.monotonic() + limit_s
        headers = {"Idempotency-Key": key} if key else {}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        send = partial(self._session.request, method, self.base_url + path, query, body, headers, allow_redirects=False)
        most_s = PAUSE_BASE_S
        while True:
            left_s = max(0.1, deadline - time.monotonic())
            answer = _try(send, (min(left_s, CONNECT_LIMIT_S), min(left_s, answer_s + wait_s)))
            if isinstance(answer, requests.Response):
                return answer
            pause_s = max(random.uniform(0.0, most_s), getattr(answer, "retry_after_s", 0.0))
            if _is_lasting(answer) or time.monotonic() + pause_s >= deadline:
                limit = f"{limit_s:.0f}" if limit_s >= 1 else f"{limit_s:.1g}"
                message = f"cannot {doing} at {self.base_url} within {limit} s: {_explain(answer)}"
                raise Unavailable(message) from answer
            time.sleep(pause_s)
            most_s = min(PAUSE_CAP_S, 2 * most_s)


def _try(send: Callable[..., requests.Response], limits: tuple[float, float]) -> requests.Response | Exception:
    """Send a request once. Return the answer, or what is wrong if that may pass. Raises ApiError."""
    try:
        response = send(timeout=limits)
    except requests.RequestException as error:
        return error
    if response.status_code < 300:
        return response
    refusal = _refusal(response)
    if response.status_code in PASSING:
        return refusal
    raise refusal


def _is_lasting(fault: Exception) -> bool:
    """Tell whether another try is in vain: a certificate, an address that is none."""
    lost = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, ApiError)
    return isinstance(fault, requests.exceptions.SSLError) or not isinstance(fault, lost)


def _read(response: requests.Response, make: Callable[[Any], T]) -> T:
    try:
        return make(json.loads(response.content))
    except (ValueError, TypeError, LookupError, AttributeError):
        detail = f"what {response.url} answers is not from a task service"
        raise ApiError(response.status_code, "not_understood", detail) from None


def _refusal(response: requests.Response) -> ApiError:
    kind = ERRORS.get(response.status_code, ApiError)
    try:
        problem = json.loads(response.content)
        refusal = kind(response.status_code, problem["code"], problem["detail"], problem.get("errors") or ())
    except (ValueError, TypeError, LookupError):
        where = f", to {response.headers['Location']}" if "Location" in response.headers else ""
        refusal = kind(response.status_code, "not_understood", f"{response.url} answers {response.reason}{where}")
    retry_after = response.headers.get("Retry-After", "")
    refusal.retry_after_s = float(retry_after) if retry_after.isdecimal() else 0.0
    return refusal


def _explain(fault: BaseException) -> str:
    """Return the innermost reason: requests wraps what urllib3 wraps what the system says."""
    if isinstance(fault, ApiError):
        return str(fault)
    while inner := fault.__cause__ or fault.__context__:
        fault = inner
    return (isinstance(fault, OSError) and fault.strerror) or str(fault) or type(fault).__name__


def _make(kind: type[T], members: Mapping[str, Any]) -> T:
    """Make a dataclass of the members that it has; a newer service may send more."""
    return kind(**{item.name: members[item.name] for item in fields(kind)})  # type: ignore[arg-type]  # T is a dataclass


def _make_status(members: Mapping[str, Any]) -> Status:
    times = {name: value and datetime.fromisoformat(value) for name, value in members.items() if name.endswith("_at")}
    error = members["error"] and _make(Failure, members["error"])
    return _make(Status, {"result_omitted": False, **members, **times, "error": error})


def _encode(value: Any) -> bytes:
    return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    """Return the JSON form of what a task may take though JSON does not have it."""
    if isinstance(value, date | clock_time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form; send what the task's schema says (GET /tasks)")


def _examples(number: int) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield task, arguments and right result of so many jobs, the three tasks in turn."""
    for n in range(number):
        x, y, text = 10**30 + n, -n, f"straße {n}"  # digits that a float would lose, a letter that becomes two
        yield (
            ("add", {"x": x, "y": y}, x + y),
            ("multiply", {"x": x, "y": y}, x * y),
            ("upper_case", {"text": text}, f"STRASSE {n}"),
        )[n % 3]


def _run_one(client: Client, task: str, args: Mapping[str, Any], right: Any) -> tuple[float, str]:
    """Return the seconds from the submission to the result, and what is wrong with it; "" if nothing is."""
    began = time.perf_counter()
    try:
        result = client.submit(task, args).result(timeout_s=RESULT_LIMIT_S)
    except (ApiError, JobError, WaitTimeout) as error:
        return time.perf_counter() - began, str(error)
    wrong = "" if result == right else f"{task} {json.dumps(args)} gave {result!r}, not {right!r}"
    return time.perf_counter() - began, wrong


def _show_progress(done: int, total: int) -> None:
    """Draw a bar on a terminal; elsewhere write a line at each quarter."""
    if sys.stdout.isatty():
        bar = "#" * (40 * done // total)
        print(f"\r[{bar:-<40}] {done}/{total}", end="\n" if done == total else "", flush=True)
    elif done * 4 // total > (done - 1) * 4 // total:
        print(f"{done} of {total} done", flush=True)


def _tell_if_silent(url: str) -> bool:
    """Say so if the service does not answer; return whether it was said."""
    try:
        _probe(url, 1.0)
    except ClientError:
        end_of_bar = "\n" if sys.stdout.isatty() else ""
        print(f"{end_of_bar}{url} does not answer; trying for up to {RESULT_LIMIT_S:.0f} s", file=sys.stderr)
        return True
    return False


def _probe(url: str, timeout_s: float) -> None:
    with Client(url, timeout_s=timeout_s) as client:
        client._request("GET", "/healthz", "reach the task service")


def _run_demo(client: Client, number: int) -> int:
    """Run so many jobs, 16 at a time; return how many are wrong."""
    began = time.perf_counter()
    outcomes: list[tuple[float, str]] = []
    done: SimpleQueue[Future[tuple[float, str]]] = SimpleQueue()
    is_told = False
    with ThreadPoolExecutor(16) as pool:
        for example in _examples(number):
            pool.submit(_run_one, client, *example).add_done_callback(done.put)
        try:
            while len(outcomes) < number:
                try:
                    outcomes.append(done.get(timeout=SILENCE_S).result())
                    _show_progress(len(outcomes), number)
                except Empty:
                    is_told = is_told or _tell_if_silent(client.base_url)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    took_s = time.perf_counter() - began
    ms = sorted(1000 * latency_s for latency_s, _ in outcomes)
    wrong = [text for _, text in outcomes if text]
    print(*wrong[:5], sep="\n", end="\n" if wrong else "")
    print(f"{number - len(wrong)} of {number} results are right; {took_s:.2f} s, {number / took_s:.0f} jobs/s")
    shares = ", ".join(f"p{share} {ms[min(number - 1, number * share // 100)]:.0f}" for share in (50, 95, 99))
    print(f"from submission to result, in ms: {shares}, max {ms[-1]:.0f}")
    return len(wrong)


def main() -> int:
    """Run the demo: 0 if every result is right, 1 if one is not, 2 if it is refused, 3 if the service cannot be reached."""
    parser = argparse.ArgumentParser(PROGRAM, description="Run add, multiply, upper_case in turn, and check every result.")
    parser.add_argument("--url", default=os.environ.get("TASK_SERVICE_URL", DEFAULT_URL), help="default: %(default)s")
    parser.add_argument("--count", type=int, default=150, help="how many jobs; default: %(default)s")
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count is at least 1")
    try:
        _probe(options.url, 3.0)
        with Client(options.url) as client:
            return 1 if _run_demo(client, options.count) else 0
    except (ClientError, ValueError) as error:
        print(f"{parser.prog}: {error}. {ADVICE}", file=sys.stderr)
        return 3 if isinstance(error, Unavailable) else 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
