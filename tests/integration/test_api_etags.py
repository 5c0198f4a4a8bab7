"""ETag and If-None-Match."""

import pytest

from tests.api_rig import Hand, RunningApi
from tests.integration.conftest import StartApi

ERROR = '{"type": "ValueError", "message": "no"}'
PATHS = pytest.mark.parametrize("path", ["/status/", "/jobs/"])


@PATHS
def test_unchanged_job_is_not_sent_again(api: RunningApi, path: str) -> None:
    task_id = api.submit()
    first = api.get(path + task_id)
    assert first.headers["etag"].startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    second = api.get(path + task_id, headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]
    assert api.get(path + task_id, headers={"If-None-Match": '"other"'}).content == first.content


@PATHS
def test_tag_changes_with_every_step_of_a_job(api: RunningApi, hand: Hand, path: str) -> None:
    task_id = api.submit()
    tags: list[str] = []

    def look() -> None:
        old = {"If-None-Match": ", ".join(tags)} if tags else {}
        answer = api.get(path + task_id, headers=old)
        assert answer.status_code == 200
        tags.append(answer.headers["etag"])

    look()
    token = hand.claim(task_id)
    look()
    hand.connection.execute("UPDATE live_jobs SET progress = %s", ['{"done": 1, "total": 2}'])
    look()
    hand.retry(task_id, token, ERROR)
    look()
    token = hand.claim(task_id, series=2)
    look()
    hand.finish(task_id, token)
    look()
    assert len(set(tags)) == 6


def test_tag_is_the_same_from_every_replica(start_api: StartApi, hand: Hand) -> None:
    first, second = start_api(), start_api()
    task_id = first.submit()
    hand.claim(task_id)
    assert len({api.get(f"/status/{task_id}").headers["etag"] for api in (first, second)}) == 1


def test_publication_does_not_change_the_tag(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    before = api.get(f"/status/{task_id}")
    hand.connection.execute("UPDATE live_jobs SET publish_at = NULL, published_at = now()")
    after = api.get(f"/status/{task_id}")
    assert (after.headers["etag"], after.content) == (before.headers["etag"], before.content)


def test_wait_means_until_finished_whatever_the_tag(api: RunningApi, hand: Hand) -> None:
    task_id = api.submit()
    tag = {"If-None-Match": api.get(f"/status/{task_id}").headers["etag"]}
    assert api.get(f"/status/{task_id}?wait=0.2", headers=tag).status_code == 304
    hand.run(task_id)
    assert api.get(f"/status/{task_id}?wait=10", headers=tag).json()["status"] == "SUCCESS"


def test_any_tag_does_for_a_job_that_is_there(api: RunningApi) -> None:
    task_id = api.submit()
    assert api.get(f"/status/{task_id}", headers={"If-None-Match": "*"}).status_code == 304
    assert api.get(f"/status/{task_id[:-4]}0000", headers={"If-None-Match": "*"}).status_code == 404
