"""What the service promises while its broker or its database is away, and when it is back."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Final

import requests

from core.acceptance import new_task_id
from tests.acceptance.service import Diary, Service

#: From the moment that an engine is back.
BACK_LIMIT_S: Final = 20.0
#: What a busy machine may add to an answer. The api's limit, twice, would take longer.
BUSY_S: Final = 1.0


def test_stopped_broker_delays_jobs_and_nothing_else(service: Service) -> None:
    service.client.finished(service.client.submit("add", x=0, y=0))
    service.broker.stop()
    answers = [_timed(partial(service.client.post, "/add", {"x": number, "y": 1})) for number in range(5)]
    assert [response.status_code for response, _ in answers] == [202] * 5
    assert median(took_s for _, took_s in answers) < 1.0
    task_ids = [response.json()["task_id"] for response, _ in answers]
    assert {service.client.status(task_id)["status"] for task_id in task_ids} == {"PENDING"}
    service.broker.start()
    assert [service.client.finished(task_id, BACK_LIMIT_S)["result"] for task_id in task_ids] == [1, 2, 3, 4, 5]


def test_stopped_database_is_503_in_less_than_3_s_and_all_is_well_afterwards(service: Service, diary: Diary) -> None:
    finished = service.client.submit("add", x=1, y=1)
    service.client.finished(finished)
    running = service.client.submit("shop.holds", diary=str(diary))
    diary.wait_for(1)
    service.database.stop()
    asks = (
        lambda: service.client.post("/add", {"x": 1, "y": 1}),
        lambda: service.client.post("/add", {"x": 1, "y": 1}, {"Idempotency-Key": "k"}),
        lambda: service.client.get(f"/status/{finished}"),
        lambda: service.client.get(f"/status/{new_task_id()}"),
        lambda: service.client.get(f"/status/{finished}", wait_s=10),
        lambda: service.client.get(f"/jobs/{finished}"),
    )
    with ThreadPoolExecutor(len(asks)) as pool:
        answers = list(pool.map(_timed, asks))
    assert [response.status_code for response, _ in answers] == [503] * len(asks)
    assert max(took_s for _, took_s in answers) < 3.0 + BUSY_S
    assert {response.json()["code"] for response, _ in answers} == {"store_unavailable"}
    assert all(int(response.headers["retry-after"]) > 0 for response, _ in answers)
    diary.let_go()
    service.database.start()
    service.make_well()
    assert service.client.status(finished)["result"] == 2
    assert service.client.get(f"/status/{new_task_id()}").status_code == 404
    job = service.client.finished(running, BACK_LIMIT_S)
    assert (job["result"], job["attempts"]) == ("let go", 1)
    assert service.client.finished(service.client.submit("add", x=2, y=2), BACK_LIMIT_S)["result"] == 4


def _timed(ask: Callable[[], requests.Response]) -> tuple[requests.Response, float]:
    """Return the response and the seconds that it took."""
    started = time.monotonic()
    return ask(), time.monotonic() - started
