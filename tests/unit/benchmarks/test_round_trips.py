"""The client that waits for results, against a service of the test's own."""

import asyncio
import json
import time

import pytest

from benchmarks.contestant import Sum
from benchmarks.errors import BenchmarkError
from benchmarks.round_trips import Traffic, Trips
from tests.unit.benchmarks.stub_contestant import StubContestant


class Service:
    """Gives ids to jobs, and the result of each when it is asked for the n-th time."""

    def __init__(self, asked: int = 1, wrong: bool = False, status: int = 200) -> None:
        self._asked = asked
        self._wrong = wrong
        self._status = status
        self._questions: dict[str, int] = {}
        self._results: dict[str, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0))
                answer = json.dumps(self._submit(body) if head.startswith(b"POST") else self._read(head)).encode()
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (self._status, len(answer), answer))
        except asyncio.IncompleteReadError:
            writer.close()

    def _submit(self, body: bytes) -> object:
        task_id = str(len(self._results))
        self._results[task_id] = sum(json.loads(body).values())
        return {"task_id": task_id}

    def _read(self, head: bytes) -> object:
        task_id = head.split()[1].decode().rpartition("/")[2]
        self._questions[task_id] = self._questions.get(task_id, 0) + 1
        if self._questions[task_id] < self._asked:
            return {"status": "PENDING", "result": None}
        return {"status": "SUCCESS", "result": self._results[task_id] + self._wrong}


def _make_trips(service: Service, others_per_s: float = 0.0) -> Trips:
    async def run() -> Trips:
        async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            contestant = StubContestant()
            return await Traffic(port, contestant, contestant.submission).run(0.05, others_per_s)

    return asyncio.run(run())


def test_a_trip_lasts_until_the_result_is_there() -> None:
    made = _make_trips(Service(asked=3))
    assert all(answer.latency_s > 0.01 for answer in made.trips.answers)  # two waits of 5 ms
    assert len(made.trips.answers) == len(made.submissions.answers)


def test_a_wrong_result_ends_the_run() -> None:
    with pytest.raises(BenchmarkError, match="the result of job 0 is 2"):
        _make_trips(Service(wrong=True))


def test_a_refused_submission_ends_the_run() -> None:
    with pytest.raises(BenchmarkError, match="job 0 was answered 503"):
        _make_trips(Service(status=503))


def test_others_submit_at_their_rate_and_every_job_has_a_number_of_its_own() -> None:
    began = time.perf_counter()
    made = _make_trips(Service(), others_per_s=400.0)
    took_s = time.perf_counter() - began
    others = len(made.submissions.answers) - len(made.trips.answers)
    assert 1 <= others <= took_s * 400 + 17
    indexes = sorted(answer.index for answer in made.submissions.answers)
    assert indexes == list(range(len(indexes)))
    assert {answer.index: Sum(answer.index).result for answer in made.trips.answers} == {
        answer.index: json.loads(answer.body)["result"] for answer in made.trips.answers
    }
