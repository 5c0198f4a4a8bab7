"""api.batch_submitting and api.batch_writer: reading in turns, ids that follow each other."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.batch_submitting import BatchSubmission
from api.batch_writer import BatchIds
from api.job_requests import JobRequestReader
from api.turns import Turn
from core.errors import InvalidArgumentsError, MalformedError
from tests.api_rig import make_registry, make_settings

SETTINGS = make_settings("postgresql://nowhere")
READER = JobRequestReader(make_registry(), SETTINGS)
SUBMISSION = BatchSubmission(READER, SETTINGS, None, None)  # type: ignore[arg-type]  # nothing is written


async def read(text: str) -> list[Any]:
    return await SUBMISSION.read(READER.cutter(text), BatchIds.new(), Turn())


def test_event_loop_turns_while_a_large_batch_is_read() -> None:
    async def scenario() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counter = asyncio.create_task(count())
        jobs = [{"task": "add", "args": {"x": number, "y": 1}} for number in range(10_000)]
        assert len(await read(json.dumps({"jobs": jobs}))) == 10_000
        counter.cancel()
        return turns

    assert asyncio.run(scenario()) > 10


def test_ids_follow_each_other_and_the_first_says_them_all() -> None:
    ids = BatchIds.new()
    taken = ids.take(10_000)
    assert taken == sorted(set(taken))
    assert taken == BatchIds(taken[0]).take(10_000)
    assert {task_id.version for task_id in taken} == {7}
    assert taken[9_999].int - taken[0].int == 9_999


def test_batches_of_one_process_follow_each_other() -> None:
    batches = [BatchIds.new() for _ in range(100)]
    assert all(first[16_383] < second[0] for first, second in pairwise(batches))


@given(text=st.text(alphabet='{}[]":,jobstakrgx01 \\\n', max_size=60))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    for body in (text, f'{{"jobs": [{text}]}}', f'{{"jobs": [{{"task": "ping"}}, {text}]}}'):
        try:
            asyncio.run(read(body))
        except (MalformedError, InvalidArgumentsError):
            continue
        assert json.loads(body)["jobs"]


@pytest.mark.parametrize("text", ['{"jobs": [{"task": "ping"}]}', ' {"jobs" : [\n{"args": {}, "task": "tasks.ping"} ] } '])
def test_a_batch_is_read(text: str) -> None:
    [asked] = asyncio.run(read(text))
    assert (asked.job.task, asked.job.args, asked.key) == ("tasks.ping", "{}", None)
