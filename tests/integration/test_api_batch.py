"""POST /jobs/batch."""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import requests

from tests.api_rig import ADD, Hand, RunningApi, wait_until
from tests.integration.conftest import StartApi

JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "import-1"}
JOBS = "SELECT count(*) FROM jobs"


def jobs(count: int, **options: Any) -> dict[str, Any]:
    return {"jobs": [{"task": "add", "args": {"x": number, "y": 1}, **options} for number in range(count)]}


def test_batch_is_accepted_in_its_order_and_in_one_commit(api: RunningApi, hand: Hand) -> None:
    response = api.post("/jobs/batch", jobs(1200))
    assert response.status_code == 202
    task_ids = response.json()["task_ids"]
    rows = hand.connection.execute("SELECT task_id, (args::json ->> 'x')::int, xmin::text FROM jobs ORDER BY 2").fetchall()
    assert [str(task_id) for task_id, _, _ in rows] == task_ids == sorted(task_ids)
    assert [number for _, number, _ in rows] == list(range(1200))
    assert len({transaction for _, _, transaction in rows}) == 1
    assert hand.count("SELECT count(*) FROM live_jobs WHERE publish_at <= now()") == 1200


def test_jobs_of_a_batch_have_their_own_tasks_and_options(api: RunningApi, hand: Hand) -> None:
    body = [
        {"task": "upper_case", "args": {"text": "é"}, "priority": 9},
        {"task": "tasks.add", "args": ADD, "delay_s": 60, "expires_s": 61},
        {"task": "ping"},
    ]
    assert api.post("/jobs/batch", {"jobs": body}).status_code == 202
    columns = "task, jobs.priority, delayed_until IS NOT NULL, expires_at IS NOT NULL"
    rows = hand.connection.execute(f"SELECT {columns} FROM jobs JOIN live_jobs USING (task_id) ORDER BY task_id".encode())
    assert rows.fetchall() == [
        ("tasks.upper_case", 9, False, False),
        ("tasks.add", 0, True, True),
        ("tasks.ping", 0, False, False),
    ]


def test_arguments_are_stored_to_the_letter(api: RunningApi, hand: Hand) -> None:
    args = '{"note": [1e16, -0.0, 1.10, %s],\n "lines": []}' % ("7" * 1000)
    body = f'{{"jobs" : [ {{"task":"order","args":{args}}} , {{"args":{args},"task":"order"}} ]\n}}'
    response = api.post_bytes("/jobs/batch", body.encode())
    assert response.status_code == 202, response.text
    assert [row[0] for row in hand.connection.execute("SELECT args FROM jobs")] == [args, args]


@pytest.mark.parametrize(
    ("job", "loc"),
    [
        ({"task": "add", "args": {"x": "1", "y": 2}}, ["args", "x"]),
        ({"task": "add", "args": {"x": 1}}, ["args", "y"]),
        ({"task": "add"}, ["args", "x"]),
        ({"task": "add", "args": ADD, "priority": 10}, ["priority"]),
        ({"task": "add", "args": ADD, "priority": "1"}, ["priority"]),
        ({"task": "add", "args": ADD, "delay_s": -1}, ["delay_s"]),
        ({"task": "add", "args": ADD, "eta": 5}, ["eta"]),
        ({"task": "add", "args": ADD, "delay_s": 5, "expires_s": 5}, ["expires_s"]),
        ({"task": "add", "args": ADD, "idempotency_key": ""}, ["idempotency_key"]),
        ({"task": "add", "args": ADD, "x": 1}, ["x"]),
        ({"task": "uper_case", "args": {}}, ["task"]),
        ({"args": ADD}, ["task"]),
        ({"task": 5, "args": ADD}, ["task"]),
        ({"task": "add", "args": [1, 2]}, ["args"]),
        ([], []),
        (None, []),
    ],
    ids=str,
)
def test_one_wrong_job_is_named_and_no_job_is_accepted(api: RunningApi, hand: Hand, job: Any, loc: list[str]) -> None:
    body = jobs(40)
    body["jobs"][17] = job
    answer = api.post("/jobs/batch", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["loc"] == ["body", "jobs", 17, *loc]
    assert answer.json()["detail"].startswith("job 17: ")
    assert hand.count(JOBS) == 0
    # alone, it is refused for the same reason
    alone = api.post("/jobs", job) if job is not None else api.post_bytes("/jobs", b"null")
    assert (alone.status_code, alone.json()["errors"][0]["loc"]) == (422, ["body", *loc])


def test_unknown_task_gets_a_suggestion(api: RunningApi) -> None:
    answer = api.post("/jobs/batch", {"jobs": [{"task": "uper_case"}]})
    assert "did you mean 'upper_case'?" in answer.json()["detail"]


def test_every_wrong_job_is_named(api: RunningApi) -> None:
    body = jobs(300)
    for index in (3, 7, 299):
        body["jobs"][index]["args"]["x"] = None
    answer = api.post("/jobs/batch", body).json()
    assert [error["loc"][2] for error in answer["errors"]] == [3, 7, 299]
    assert "2 more jobs are wrong; no job was accepted" in answer["detail"]


@pytest.mark.parametrize(
    "args", ['{"x": NaN, "y": 1}', '{"x": 1, "x": 2, "y": 1}', '{"x": %s, "y": 1}' % ("9" * 1001), '{"x": 01, "y": 1}']
)
def test_what_is_malformed_alone_is_malformed_in_a_batch(api: RunningApi, args: str) -> None:
    alone = api.post_bytes("/add", args.encode())
    together = api.post_bytes("/jobs/batch", b'{"jobs": [{"task": "add", "args": %b}]}' % args.encode())
    assert [(answer.status_code, answer.json()["code"]) for answer in (alone, together)] == [(400, "malformed")] * 2


@pytest.mark.parametrize(
    "body", [b"{}", b'{"jobs": []}', b'{"jobs": {}}', b'{"jobs": null}', b"[]", b'{"job": []}', b'{"jobs": [], "jobs": []}']
)
def test_what_is_no_batch_is_invalid(api: RunningApi, body: bytes) -> None:
    answer = api.post_bytes("/jobs/batch", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"jobs": [{}',
        b'{"jobs": [{"task": "ping"}]} x',
        b'{"jobs": [{"task": "ping"},]}',
        b"",
        b"nope",
        b'{"jobs": nope}',
        b'{"jobs": [nope]}',
        b'{"jobs": [',
        b"[}",
    ],
)
def test_what_is_no_json_is_malformed(api: RunningApi, hand: Hand, body: bytes) -> None:
    assert api.post_bytes("/jobs/batch", body).status_code == 400
    assert hand.count(JOBS) == 0


def test_one_job_too_many_is_invalid(start_api: StartApi) -> None:
    api = start_api(batch_limit=3)
    assert api.post("/jobs/batch", jobs(3)).status_code == 202
    assert api.post("/jobs/batch", jobs(4)).json()["errors"][0]["loc"] == ["body", "jobs"]


def test_arguments_of_one_job_may_not_be_longer_than_alone(api: RunningApi) -> None:
    job = {"task": "upper_case", "args": {"text": "x" * 262_144}}
    answer = api.post("/jobs/batch", {"jobs": [job]})
    assert answer.json()["errors"][0]["loc"] == ["body", "jobs", 0, "args"]
    assert api.post("/jobs", job).json()["errors"][0]["loc"] == ["body", "args"]
    assert api.post("/upper_case", job["args"]).status_code == 413
    fitting = {"task": "upper_case", "args": {"text": "x" * 262_100}}
    assert [
        api.post(path, body).status_code for path, body in (("/jobs/batch", {"jobs": [fitting]}), ("/jobs", fitting))
    ] == [
        202,
        202,
    ]


def test_body_over_16_mib_is_too_large_and_just_below_is_not(api: RunningApi) -> None:
    limit = 16 * 1024 * 1024
    whole = json.dumps(jobs(1)).encode()
    assert api.post_bytes("/jobs/batch", whole.ljust(limit)).status_code == 202
    assert api.post_bytes("/jobs/batch", whole.ljust(limit + 1)).status_code == 413


def test_batch_over_the_backlog_limit_is_refused_whole(start_api: StartApi, hand: Hand) -> None:
    api = start_api(backlog_limit=100)
    assert api.post("/jobs/batch", jobs(60)).status_code == 202
    refused = api.post("/jobs/batch", jobs(41))
    assert (refused.status_code, refused.json()["code"]) == (503, "backlog_full")
    assert int(refused.headers["retry-after"]) > 0
    assert hand.count(JOBS) == 60
    wait_until(lambda: api.post("/jobs/batch", jobs(40)).status_code == 202, "there is room for as many as fit")
    assert hand.count(JOBS) == 100


def test_key_of_a_batch_gives_the_same_ids_again(start_api: StartApi, hand: Hand) -> None:
    first, second = (start_api().post("/jobs/batch", jobs(700), headers=KEY) for _ in range(2))
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert hand.count(JOBS) == 700


@pytest.mark.parametrize("other", [jobs(699), jobs(700, priority=1), {"jobs": jobs(700)["jobs"][::-1]}])
def test_another_batch_with_the_same_key_is_a_mismatch(api: RunningApi, hand: Hand, other: Any) -> None:
    api.post("/jobs/batch", jobs(700), headers=KEY)
    answer = api.post("/jobs/batch", other, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert hand.count(JOBS) == 700


def test_keys_of_jobs_make_each_job_once(api: RunningApi, hand: Hand) -> None:
    body = jobs(700)
    for index, job in enumerate(body["jobs"]):
        job["idempotency_key"] = f"row-{index}"
    before = api.post("/jobs", body["jobs"][600]).json()["task_id"]
    first = api.post("/jobs/batch", body)
    second = api.post("/jobs/batch", body)
    assert first.json()["task_ids"] == second.json()["task_ids"]
    assert first.json()["task_ids"][600] == before
    assert ["idempotency-replayed" in answer.headers for answer in (first, second)] == [False, True]
    assert hand.count(JOBS) == 700


def test_jobs_with_and_without_keys_may_be_mixed(api: RunningApi, hand: Hand) -> None:
    body = {"jobs": [{"task": "ping"}, {"task": "ping", "idempotency_key": "a"}, {"task": "ping", "idempotency_key": "a"}]}
    first, second = (api.post("/jobs/batch", body).json()["task_ids"] for _ in range(2))
    assert first[1] == first[2] == second[1] == second[2]
    assert len({first[0], second[0], first[1]}) == 3
    assert hand.count(JOBS) == 3


def test_mismatch_of_one_key_refuses_the_batch_and_names_the_job(api: RunningApi, hand: Hand) -> None:
    api.post("/jobs", {"task": "ping", "idempotency_key": "a"})
    body = jobs(5)
    body["jobs"][3]["idempotency_key"] = "a"
    answer = api.post("/jobs/batch", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert answer.json()["errors"][0]["loc"] == ["body", "jobs", 3, "idempotency_key"]
    assert hand.count(JOBS) == 1
    assert hand.count("SELECT count(*) FROM idempotency_keys") == 1


def test_both_kinds_of_keys_at_once_are_invalid(api: RunningApi) -> None:
    answer = api.post("/jobs/batch", jobs(1, idempotency_key="a"), headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("reverse", [False, True], ids=["same order", "opposite order"])
def test_batches_with_the_same_keys_at_the_same_time_make_each_job_once(
    start_api: StartApi, hand: Hand, reverse: bool
) -> None:
    apis = [start_api(), start_api()]
    body = jobs(600)
    for index, job in enumerate(body["jobs"]):
        job["idempotency_key"] = f"row-{index * 7 % 600}"
    answers: list[requests.Response] = []

    def post(number: int) -> None:
        ordered = {"jobs": body["jobs"][:: -1 if reverse and number % 2 else 1]}
        answers.append(requests.post(f"{apis[number % 2].url}/jobs/batch", json=ordered, timeout=20))

    run_at_once([partial(post, number) for number in range(6)])
    assert [answer.status_code for answer in answers] == [202] * 6
    assert len({frozenset(answer.json()["task_ids"]) for answer in answers}) == 1
    assert hand.count(JOBS) == 600


def run_at_once(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_event_loop_serves_others_while_a_batch_of_10_000_is_accepted(api: RunningApi) -> None:
    api.get("/healthz")
    data = json.dumps(jobs(10_000)).encode()
    is_over = threading.Event()
    pauses_s: list[float] = []

    def ask() -> None:
        with requests.Session() as session:
            while not is_over.is_set():
                began = time.monotonic()
                session.get(f"{api.url}/healthz", timeout=10)
                pauses_s.append(time.monotonic() - began)

    asker = threading.Thread(target=ask)
    asker.start()
    wait_until(lambda: pauses_s, "somebody asks")
    answer = api.session.post(f"{api.url}/jobs/batch", data, headers=JSON, timeout=20)
    is_over.set()
    asker.join()
    assert answer.status_code == 202
    assert len(answer.json()["task_ids"]) == 10_000
    # held up for the whole batch it would be a few; 5 ms in turn with the batch make dozens
    assert len(pauses_s) > 20


def test_batch_that_meets_a_lost_connection_is_accepted_once(api: RunningApi, hand: Hand) -> None:
    api.post("/jobs/batch", jobs(1))
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'api: accept batches'"
    answers: list[requests.Response] = []
    sender = threading.Thread(target=lambda: answers.append(api.post("/jobs/batch", jobs(5000))))
    sender.start()
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'api: accept batches' AND state <> 'idle'"
    wait_until(lambda: hand.count(busy), "the batch is being stored")
    assert hand.count(cut) == 1
    sender.join()
    assert answers[0].status_code == 202
    assert hand.count(JOBS) == 5001
    assert hand.count("SELECT count(*) FROM live_jobs") == 5001
