"""GET /jobs."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import pytest

from api import pages
from api.schemas import JobPage
from core.acceptance import ACCEPT, NewJob, accept_parameters, new_task_id
from tests.api_rig import Hand, RunningApi

ERROR = '{"type": "ValueError", "message": "no"}'


def listed(api: RunningApi, query: str = "") -> list[str]:
    """Return the ids of one page."""
    response = api.get(f"/jobs{query}")
    assert response.status_code == 200, response.text
    return [str(job.task_id) for job in JobPage.model_validate_json(response.content).jobs]


def all_pages(api: RunningApi, query: str) -> list[list[str]]:
    """Return the ids of all pages, going from each to the next."""
    found, cursor = [], ""
    while True:
        page = api.get(f"/jobs{query}{cursor}").json()
        found.append([job["task_id"] for job in page["jobs"]])
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.fixture
def by_status(api: RunningApi, hand: Hand) -> dict[tuple[str, str], list[str]]:
    """Jobs of two tasks in each status, by (task, status), newest first."""
    made: dict[tuple[str, str], list[str]] = {}
    tasks = {"tasks.add": ("/add", {"x": 1, "y": 2}), "tasks.upper_case": ("/upper_case", {"text": "a"})}
    statuses = ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")
    for _, status, (task, (path, body)) in itertools.product(range(2), statuses, tasks.items()):
        task_id = api.submit(path, body)
        bring_to(api, hand, task_id, status)
        made.setdefault((task, status), []).insert(0, task_id)
    return made


def bring_to(api: RunningApi, hand: Hand, task_id: str, status: str) -> None:
    match status:
        case "STARTED":
            hand.claim(task_id)
        case "RETRY":
            hand.retry(task_id, hand.claim(task_id), ERROR)
        case "SUCCESS":
            hand.run(task_id)
        case "FAILURE":
            hand.fail(task_id, hand.claim(task_id), ERROR, "trace")
        case "REVOKED":
            assert api.post(f"/jobs/{task_id}/cancel").status_code == 200


def test_jobs_come_newest_first(api: RunningApi) -> None:
    task_ids = [api.submit() for _ in range(5)]
    assert listed(api) == task_ids[::-1]


def test_no_jobs_are_an_empty_page(api: RunningApi) -> None:
    for query in (
        "",
        "?status=SUCCESS",
        "?status=PENDING",
        "?task=add",
        "?task=add&status=FAILURE",
        "?task=add&status=RETRY",
    ):
        response = api.get(f"/jobs{query}")
        assert response.json() == {"jobs": [], "next": None}
        assert "link" not in response.headers


def test_filters_find_what_fits_and_nothing_else(api: RunningApi, by_status: dict[tuple[str, str], list[str]]) -> None:
    tasks, statuses = ({key[place] for key in by_status} for place in (0, 1))
    for task in ("", *tasks):
        for status in ("", *statuses):
            query = "&".join(f"{name}={value}" for name, value in (("task", task), ("status", status)) if value)
            fitting = [
                task_id
                for (its_task, its_status), task_ids in by_status.items()
                if task in ("", its_task) and status in ("", its_status)
                for task_id in task_ids
            ]
            assert listed(api, f"?{query}") == sorted(fitting, reverse=True), query


def test_listed_job_is_its_status(api: RunningApi, by_status: dict[tuple[str, str], list[str]]) -> None:
    for job in api.get("/jobs").json()["jobs"]:
        assert job.pop("result_omitted") is False
        assert job == api.get(f"/status/{job['task_id']}").json()


def test_long_result_is_left_out_and_named(api: RunningApi, hand: Hand) -> None:
    lengths = (pages.RESULT_LIMIT_BYTES, pages.RESULT_LIMIT_BYTES + 1)
    for length in lengths:
        hand.run(api.submit(), f'"{"x" * (length - 2)}"')
    long, short = api.get("/jobs").json()["jobs"]
    assert (long["result"], long["result_omitted"]) == (None, True)
    assert (len(short["result"]), short["result_omitted"]) == (lengths[0] - 2, False)


@pytest.mark.parametrize("limit", [1, 3, 7, 24, 200])
@pytest.mark.parametrize("query", ["?task=add&status=FAILURE", "?status=FAILURE", "?status=STARTED", "?task=add", "?"])
def test_pages_go_through_all_jobs_once(
    api: RunningApi, by_status: dict[tuple[str, str], list[str]], query: str, limit: int
) -> None:
    found = all_pages(api, f"{query}&limit={limit}")
    assert list(itertools.chain(*found)) == listed(api, f"{query}&limit=200")
    assert {len(page) for page in found[:-1]} <= {limit}
    assert 0 < len(found[-1]) <= limit


def test_new_jobs_do_not_move_the_pages(api: RunningApi) -> None:
    task_ids = [api.submit() for _ in range(6)]
    first = api.get("/jobs?limit=3").json()
    newer = [api.submit() for _ in range(4)]
    assert listed(api, f"?limit=3&cursor={first['next']}") == task_ids[2::-1]
    assert listed(api)[:4] == newer[::-1]


def test_page_whose_last_job_is_gone_goes_on_all_the_same(api: RunningApi, hand: Hand) -> None:
    task_ids = [api.submit() for _ in range(6)]
    cursor = api.get("/jobs?limit=3").json()["next"]
    hand.connection.execute("DELETE FROM jobs WHERE task_id = %s", [UUID(task_ids[3])])
    assert listed(api, f"?limit=3&cursor={cursor}") == task_ids[2::-1]


def test_link_leads_to_the_next_page_with_the_same_filters(api: RunningApi) -> None:
    task_ids = [api.submit() for _ in range(5)]
    response = api.get("/jobs?task=add&status=PENDING&limit=2&created_after=2001-01-01T00:00:00%2B02:00")
    assert response.links["next"]["url"].startswith("/jobs?task=add&status=PENDING&limit=2&created_after=")
    following = api.session.get(urljoin(response.url, response.links["next"]["url"]), timeout=5)
    assert [job["task_id"] for job in following.json()["jobs"]] == task_ids[2:0:-1]


def test_times_bound_what_is_listed(api: RunningApi, hand: Hand) -> None:
    task_ids = [api.submit() for _ in range(5)]
    times = [api.get(f"/status/{task_id}").json()["created_at"] for task_id in task_ids]
    assert listed(api, f"?created_after={times[1]}") == task_ids[:1:-1]
    assert listed(api, f"?created_before={times[3]}") == task_ids[2::-1]
    assert listed(api, f"?created_after={times[0]}&created_before={times[4]}&task=add") == task_ids[3:0:-1]
    for task_id in task_ids:
        hand.run(task_id)
    for query in ("status=SUCCESS", "status=SUCCESS&task=add"):
        assert listed(api, f"?{query}&created_after={times[1]}&created_before={times[4]}") == task_ids[3:1:-1]
    assert listed(api, f"?created_before={times[0]}") == []


def test_time_is_the_databases_though_the_ids_are_the_apis(api: RunningApi, hand: Hand) -> None:
    """The clocks of two machines differ: the ids are some seconds ahead or behind."""
    for offset_s in (-9, 9):
        shifted = UUID(int=new_task_id().int + (offset_s * 1000 << 80))
        job = NewJob(task_id=shifted, task="tasks.add", queue="default", args="{}")
        hand.connection.execute(ACCEPT, accept_parameters([job]))
    now = datetime.now(UTC)
    before, after = ((now + timedelta(seconds=offset)).strftime("%Y-%m-%dT%H:%M:%SZ") for offset in (-5, 5))
    assert len(listed(api, f"?created_after={before}&created_before={after}")) == 2
    assert len(listed(api, f"?created_after={before}&created_before={after}&status=PENDING")) == 2


def test_jobs_of_another_owner_are_not_listed(
    api: RunningApi, hand: Hand, by_status: dict[tuple[str, str], list[str]]
) -> None:
    hand.connection.execute("ALTER TABLE jobs DISABLE TRIGGER finished_job_never_changes")
    hand.connection.execute("UPDATE jobs SET owner = 'somebody'")
    hand.connection.execute("ALTER TABLE jobs ENABLE TRIGGER finished_job_never_changes")
    for task, status in by_status:
        for query in ("", f"?task={task}", f"?status={status}", f"?task={task}&status={status}"):
            assert listed(api, query) == []


def test_page_of_unfinished_jobs_may_be_short_and_goes_on(
    api: RunningApi, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FIRST_STEPS", 4)
    monkeypatch.setattr(pages, "WALK_S", 0.0)
    rare = [api.submit() for _ in range(2)]
    for task_id in rare:
        hand.claim(task_id)
    api.post("/jobs/batch", {"jobs": [{"task": "ping"}] * 20})
    found = all_pages(api, "?status=STARTED&limit=2")
    assert found[0] == []
    assert list(itertools.chain(*found)) == rare[::-1]
    assert len(found) == 6


def test_search_for_unfinished_jobs_goes_on_as_long_as_it_takes_little_time(
    api: RunningApi, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FIRST_STEPS", 2)
    monkeypatch.setattr(pages, "STEPS_GROWTH", 2)
    monkeypatch.setattr(pages, "WALK_S", 30.0)
    rare = [api.submit() for _ in range(3)]
    for task_id in rare:
        hand.claim(task_id)
    api.post("/jobs/batch", {"jobs": [{"task": "ping"}] * 100})
    assert all_pages(api, "?status=STARTED&limit=2") == [rare[:0:-1], rare[:1]]
    assert listed(api, "?status=STARTED&task=ping") == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("status=DONE", "status"),
        ("task=", "task"),
        ("cursor=x", "cursor"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2001-01-01T00:00:00", "created_before"),
        ("owner=somebody", "owner"),
        ("status=SUCCESS&status=FAILURE", "status"),
    ],
)
def test_unusable_filter_is_invalid_and_named(api: RunningApi, query: str, name: str) -> None:
    answer: Any = api.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["loc"] for error in answer.json()["errors"]] == [["query", name]]
