"""Idempotency-Key, with one replica and with two."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
import requests

from api import idempotency
from api.idempotency import KeyedJob, accept_keyed
from core.acceptance import NewJob, new_task_id
from core.database import connect_async
from tests.api_rig import ADD, Hand, RunningApi, make_settings, wait_until
from tests.integration.conftest import StartApi

KEY = {"Idempotency-Key": "order-1"}
WAITS_FOR_LOCK = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def post_at_once(apis: Sequence[RunningApi], count: int) -> list[requests.Response]:
    """Return the answers to requests with one key, sent at the same moment to the replicas in turn."""
    answers: list[requests.Response] = []
    start = threading.Barrier(count)

    def post(api: RunningApi) -> None:
        with requests.Session() as session:
            start.wait()
            answers.append(session.post(api.url + "/add", json=ADD, headers=KEY, timeout=10))

    threads = [threading.Thread(target=post, args=(apis[number % len(apis)],)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("replicas", [1, 2])
def test_50_concurrent_requests_with_one_key_make_one_job(start_api: StartApi, hand: Hand, replicas: int) -> None:
    answers = post_at_once([start_api() for _ in range(replicas)], 50)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49
    assert hand.count("SELECT count(*) FROM jobs") == 1


def test_replay_answers_as_the_first_time(api: RunningApi, hand: Hand) -> None:
    first = api.post("/add", ADD, headers=KEY)
    hand.run(first.json()["task_id"])
    second = api.post("/add", ADD, headers=KEY)
    assert second.content == first.content
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"


def test_same_arguments_in_another_spelling_are_a_replay(api: RunningApi) -> None:
    first = api.post("/upper_case", {"text": "aé"}, headers=KEY).json()
    spelled = b'{ "text" : "\\u0061\\u00e9" }'
    second = requests.post(
        api.url + "/upper_case", spelled, headers={**KEY, "Content-Type": "application/json"}, timeout=5
    ).json()
    assert second == first


@pytest.mark.parametrize(
    ("path", "body"),
    [("/add", {"x": 2, "y": 4}), ("/add?delay_s=1", ADD), ("/ping", {}), ("/add?eta=2001-01-01T00:00:00Z", ADD)],
    ids=["arguments", "delay", "task", "eta"],
)
def test_another_request_with_the_same_key_is_a_mismatch(api: RunningApi, path: str, body: object) -> None:
    api.submit(headers=KEY)
    answer = api.post(path, body, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]


def test_key_is_free_again_after_its_time(start_api: StartApi, hand: Hand) -> None:
    api = start_api()
    first = api.submit(headers=KEY)
    hand.connection.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
    assert api.submit(headers=KEY) != first


def test_plain_requests_do_not_wait_for_a_blocked_key(api: RunningApi, hand: Hand) -> None:
    with hand.connection.transaction():
        hand.connection.execute(
            "INSERT INTO idempotency_keys VALUES ('local', 'order-1', 'other', gen_random_uuid(), now() + interval '1 day')"
        )
        blocked: list[requests.Response] = []
        waiter = threading.Thread(
            target=lambda: blocked.append(requests.post(api.url + "/add", json=ADD, headers=KEY, timeout=10))
        )
        waiter.start()
        with psycopg.connect(hand.connection.info.dsn, autocommit=True) as observer:
            wait_until(lambda: observer.execute(WAITS_FOR_LOCK).fetchone() == (1,), "the other waits for its key")
        assert api.post("/add", ADD).status_code == 202
        assert not blocked
    waiter.join()
    assert blocked[0].status_code == 422


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9", "tab\tkey"], ids=["empty", "long", "not-ascii", "control"])
def test_unusable_key_is_invalid(api: RunningApi, key: str) -> None:
    answer = api.post("/add", ADD, headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]


def test_key_of_255_characters_is_accepted(api: RunningApi) -> None:
    assert api.submit(headers={"Idempotency-Key": "k" * 255})


def test_keys_are_reserved_in_order_so_that_replicas_cannot_deadlock(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[list[tuple[str, str]]] = []
    reserve = idempotency._reserve

    async def note(connection: Any, names: Any, *rest: Any) -> Any:
        reserved.append(list(names))
        return await reserve(connection, names, *rest)

    async def scenario() -> None:
        keyed = [
            KeyedJob(NewJob(new_task_id(), "tasks.add", "default", "{}"), f"key-{n * 7 % 50}", "same") for n in range(50)
        ]
        async with await connect_async(make_settings(database_url), "test") as connection:
            await accept_keyed(connection, keyed, ttl_s=60.0)

    monkeypatch.setattr(idempotency, "_reserve", note)
    asyncio.run(scenario())
    assert reserved == [sorted(reserved[0])]
    assert len(reserved[0]) == 50
