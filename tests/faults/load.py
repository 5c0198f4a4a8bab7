"""Clients that submit a mix of jobs over HTTP and take nothing but a 202 for an acceptance."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import requests

from tests.api_client import ApiClient
from tests.engines import wait_until

CLIENTS: Final = 5
#: Jobs in one request of submit_in_batches().
BATCH_SIZE: Final = 1000
#: How long a client waits before it tries again what was not accepted.
TRY_AGAIN_S: Final = 0.1

#: Of ten jobs: four quick ones, one of them later; four that take 50 ms; two that fail once.
MIX: Final = (
    ("effects.quick", 0.0),
    ("effects.steady", 0.0),
    ("effects.quick", 0.0),
    ("effects.flaky", 0.0),
    ("effects.steady", 0.0),
    ("effects.quick", 1.0),
    ("effects.steady", 0.0),
    ("effects.quick", 0.0),
    ("effects.flaky", 0.0),
    ("effects.steady", 0.0),
)
#: Ten thousand of these keep four workers busy for some seconds.
QUICK_MIX: Final = (*[("effects.quick", 0.0)] * 7, ("effects.quick", 1.0), *[("effects.flaky", 0.0)] * 2)
#: Attempts of which several share a commit.
SHORT_MIX: Final = (("effects.quick", 0.0),)
#: All of them later.
DELAYED_MIX: Final = (("effects.quick", 2.0), ("effects.flaky", 1.0), ("effects.quick", 3.0))

Mix = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Submission:
    """One job of the load. With a key it may be sent again and stays one job; without, nobody knows after an error."""

    number: int
    task: str
    delay_s: float
    key: str | None


class Load:
    """Submits `size` jobs, each until it is accepted, but none beyond those that release() has let go.

    With a rate it lets go so many per second, from the start on.
    """

    def __init__(self, client: ApiClient, name: str, size: int, rate: float | None = None, mix: Mix = MIX) -> None:
        self.size: Final = size
        self.accepted: Final[dict[str, Submission]] = {}
        self.refusals: Final[Counter[str]] = Counter()
        self.slowest_s = 0.0
        self._client = client
        submissions = [_submission(name, number, mix) for number in range(size)]
        self.keys: Final = {submission.key for submission in submissions if submission.key}
        self._submissions = iter(submissions)
        self._tickets = threading.Semaphore(0)
        self._released = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"client-{n}", daemon=True) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        if rate is not None:
            self.release_at(rate)

    @property
    def refusals_text(self) -> str:
        """What was not accepted, by its answer: 25 x 503."""
        return ", ".join(f"{count} x {answer}" for answer, count in self.refusals.items())

    def release(self, share: float = 1.0) -> None:
        """Let the clients submit this share of all jobs."""
        count = int(self.size * share) - self._released
        self._released += count
        if count:
            self._tickets.release(count)

    def release_at(self, rate: float) -> None:
        """From now on, let the clients submit so many of the remaining jobs per second."""
        thread = threading.Thread(target=self._pace, args=[rate], name="pace", daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait_accepted(self, share: float = 1.0, limit_s: float = 60.0) -> None:
        """Return when this share of all jobs was accepted."""
        count = int(self.size * share)
        wait_until(lambda: len(self.accepted) >= count, limit_s, f"{count} jobs accepted; refusals: {dict(self.refusals)}")

    def wait_refused(self, limit_s: float = 10.0) -> None:
        """Return when a client has been refused once more."""
        before = self.refusals.total()
        wait_until(lambda: self.refusals.total() > before, limit_s, "a client is refused")

    def close(self) -> None:
        """Let the clients end, whatever is not submitted yet."""
        self._is_over.set()
        self._tickets.release(CLIENTS)
        for thread in self._threads:
            thread.join()

    def _pace(self, rate: float) -> None:
        started = time.monotonic()
        for number in range(self.size - self._released):
            if self._is_over.wait(max(0.0, started + number / rate - time.monotonic())):
                return
            self._tickets.release()

    def _run(self) -> None:
        while True:
            self._tickets.acquire()
            with self._lock:
                submission = next(self._submissions, None)
            if submission is None or self._is_over.is_set():
                return
            self._submit(submission)

    def _submit(self, submission: Submission) -> None:
        headers = {"Idempotency-Key": submission.key} if submission.key else {}
        query = {"delay_s": submission.delay_s} if submission.delay_s else {}
        while not self._is_over.is_set():
            started = time.monotonic()
            try:
                response = self._client.post(f"/{submission.task}", {"number": submission.number}, headers, **query)
            except requests.RequestException as error:
                self.refusals[type(error).__name__] += 1
            else:
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                if response.status_code == 202:
                    self.accepted[response.json()["task_id"]] = submission
                    return
                self.refusals[str(response.status_code)] += 1
            time.sleep(TRY_AGAIN_S)


def submit_in_batches(client: ApiClient, name: str, size: int, mix: Mix = QUICK_MIX) -> dict[str, Submission]:
    """Submit a mix in batches, none with a key, and return what was accepted."""
    accepted: dict[str, Submission] = {}
    for start in range(0, size, BATCH_SIZE):
        submissions = [_submission(name, number, mix) for number in range(start, min(start + BATCH_SIZE, size))]
        jobs = [
            {"task": submission.task, "args": {"number": submission.number}, "delay_s": submission.delay_s}
            for submission in submissions
        ]
        response = client.post("/jobs/batch", {"jobs": jobs})
        assert response.status_code == 202, response.text
        accepted.update(zip(response.json()["task_ids"], submissions, strict=True))
    return accepted


def _submission(name: str, number: int, mix: Mix) -> Submission:
    task, delay_s = mix[number % len(mix)]
    # keyed ones among each kind of job
    is_keyed = number // len(mix) % 2 == 1
    return Submission(number, task, delay_s, f"{name}-{number}" if is_keyed else None)
