"""Round trips: one client submits a job and waits until it has the result; idle, and while others submit as well."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import uvloop

from benchmarks.checks import check_answers, check_results
from benchmarks.contestant import Contestant, Sum
from benchmarks.errors import BenchmarkError
from benchmarks.load import ANSWER_LIMIT_S, Answer, LoadResult
from benchmarks.measurements import CONNECTIONS, Measure
from benchmarks.samples import Sample, Window, latencies_ms
from benchmarks.stack import Stack

#: Between an answer that is not final and the next question.
POLL_S: Final = 0.005
#: The others submit on so many connections.
OTHERS: Final = 16


@dataclass(slots=True)
class Trips:
    """All submissions with their answers; the trips with the time that each took until its result was there."""

    submissions: LoadResult = field(default_factory=LoadResult)
    trips: LoadResult = field(default_factory=LoadResult)


class HttpClient:
    """One keep-alive connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self) -> None:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """Return status and body. Raises OSError or EOFError when the connection breaks."""
        self._writer.write(data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        await self._writer.wait_closed()


def round_trip(duration_s: float) -> Measure:
    """Make round trips for duration_s on a system that does nothing else."""

    def measure(stack: Stack) -> Sample:
        stack.clear()
        return trips_on_top(stack, duration_s, stack.contestant.submission)

    return measure


def round_trip_at_half_load(duration_s: float, capacity_jobs: int) -> Measure:
    """The same while others submit half of what this contestant can do; that is found out once, with capacity_jobs."""
    capacities: dict[str, float] = {}

    def measure(stack: Stack) -> Sample:
        if stack.name not in capacities:
            capacities[stack.name] = _capacity_per_s(stack, capacity_jobs)
        stack.clear()
        return trips_on_top(stack, duration_s, stack.contestant.submission, capacities[stack.name] / 2)

    return measure


def trips_on_top(stack: Stack, duration_s: float, submission: Callable[[Sum], bytes], others_per_s: float = 0.0) -> Sample:
    """Make round trips in addition to the jobs that are there. Checks every result."""
    window = Window(stack)
    made = uvloop.run(Traffic(stack.port, stack.contestant, submission).run(duration_s, others_per_s))
    window.close()
    task_ids = check_answers(stack.contestant, made.submissions)
    if others_per_s:
        stack.wait_until_finished(len(task_ids))
    check_results(stack, task_ids)
    rate_per_s = len(made.trips.answers) / window.elapsed_s
    others_per_s = (len(task_ids) - len(made.trips.answers)) / window.elapsed_s
    return Sample(rate_per_s, window.cpu_s_per_1000(len(task_ids)), latencies_ms(made.trips), others_per_s=others_per_s)


class Traffic:
    """One client that waits for each of its results, and others that only submit; the jobs are numbered through."""

    def __init__(self, port: int, contestant: Contestant, submission: Callable[[Sum], bytes]) -> None:
        self._port = port
        self._contestant = contestant
        self._submission = submission
        self._indexes = itertools.count()
        self._made = Trips()

    async def run(self, duration_s: float, others_per_s: float) -> Trips:
        """Return when the last trip has ended that began within duration_s."""
        clients = [HttpClient(self._port) for _ in range(1 + (OTHERS if others_per_s else 0))]
        for client in clients:
            await client.connect()
        others = [
            asyncio.create_task(self._submit_at(client, number / others_per_s, OTHERS / others_per_s))
            for number, client in enumerate(clients[1:])
        ]
        try:
            end_at = time.perf_counter() + duration_s
            while time.perf_counter() < end_at:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await self._make_trip(clients[0])
        finally:
            self._is_over = True
            await asyncio.gather(*others)
            for client in clients:
                await client.close()
        return self._made

    _is_over = False

    async def _make_trip(self, client: HttpClient) -> None:
        started_at = time.perf_counter()
        index, body = await self._submit(client)
        task_id = self._contestant.read_answer(Sum(index), body)
        while True:
            status, body = await client.request(self._contestant.awaiting(task_id))
            result = self._contestant.read_status(body) if 200 <= status < 300 else None
            if result is not None:
                break
            if status >= 400:
                raise BenchmarkError(f"{self._contestant.name}: job {index} was answered {status} {body[:500]!r}")
            await asyncio.sleep(POLL_S)
        self._made.trips.answers.append(Answer(index, status, body, time.perf_counter() - started_at))
        if result != self._contestant.expected_status(Sum(index)):
            raise BenchmarkError(f"{self._contestant.name}: the result of job {index} is {result!r}")

    async def _submit(self, client: HttpClient) -> tuple[int, bytes]:
        index, sent_at = next(self._indexes), time.perf_counter()
        status, body = await client.request(self._submission(Sum(index)))
        answer = Answer(index, status, body, time.perf_counter() - sent_at)
        self._made.submissions.answers.append(answer)
        if not answer.is_success:
            raise BenchmarkError(f"{self._contestant.name}: job {index} was answered {status} {body[:500]!r}")
        return index, body

    async def _submit_at(self, client: HttpClient, delay_s: float, interval_s: float) -> None:
        """Submit at fixed times; where an answer comes too late for the next, at once."""
        next_at = time.perf_counter() + delay_s
        while not self._is_over:
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
            await self._submit(client)
            next_at += interval_s


def _capacity_per_s(stack: Stack, count: int) -> float:
    stack.clear()
    window = Window(stack)
    check_answers(stack.contestant, stack.send(CONNECTIONS, count=count))
    stack.wait_until_finished(count)
    return count / window.close().elapsed_s
