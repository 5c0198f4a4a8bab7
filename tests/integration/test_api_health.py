"""GET /healthz and GET /readyz."""

import pytest

from api.schemas import Problem, Ready
from tests.api_rig import ADD, Hand, RunningApi, make_settings
from tests.engines import EngineProcess

#: What a full disk does, without one.
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON jobs FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""


def faults(api: RunningApi) -> list[str]:
    """Return the names of the checks that fail."""
    answer = api.get("/readyz")
    assert answer.status_code == 503
    problem = Problem.model_validate_json(answer.content)
    assert problem.code == "not_ready"
    assert problem.checks is not None
    return [name for name, check in problem.checks.model_dump(by_alias=True).items() if not check["ok"]]


def test_process_is_alive_without_a_database() -> None:
    with RunningApi(make_settings("postgresql://nobody@127.0.0.1:1/none")) as api:
        answer = api.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_ready_when_scheduler_and_worker_beat(api: RunningApi, hand: Hand) -> None:
    hand.beat("scheduler")
    hand.beat("worker")
    hand.beat("worker")
    answer = api.get("/readyz")
    assert answer.status_code == 200
    ready = Ready.model_validate_json(answer.content)
    assert ready.checks.workers.detail == "2 alive"


@pytest.mark.parametrize(("living", "missing"), [("worker", "scheduler"), ("scheduler", "workers")])
def test_not_ready_without_a_part(api: RunningApi, hand: Hand, living: str, missing: str) -> None:
    hand.beat(living)
    assert faults(api) == [missing]


def test_instance_that_beat_5_s_ago_is_not_alive(api: RunningApi, hand: Hand) -> None:
    hand.beat("scheduler")
    hand.beat("worker", age_s=5.5)
    assert faults(api) == ["workers"]


@pytest.mark.parametrize("statement", ["UPDATE alembic_version SET version_num = '0000'", "DROP TABLE alembic_version"])
def test_not_ready_with_another_schema(api: RunningApi, hand: Hand, statement: str) -> None:
    hand.beat("scheduler")
    hand.beat("worker")
    hand.connection.execute(statement)
    assert "schema" in faults(api)
    assert "python -m core.migrations" in api.get("/readyz").json()["detail"]


def test_not_ready_while_the_database_takes_no_jobs(api: RunningApi, hand: Hand) -> None:
    hand.beat("scheduler")
    hand.beat("worker")
    hand.connection.execute(REFUSE)
    assert api.get("/readyz").status_code == 200  # nobody knows yet
    assert api.post("/add", ADD).status_code == 503
    assert faults(api) == ["database"]
    assert "takes no jobs: could not extend file" in api.get("/readyz").json()["detail"]
    hand.connection.execute("DROP TRIGGER refuse ON jobs")
    api.submit()
    assert api.get("/readyz").status_code == 200


def test_not_ready_without_a_database_and_ready_when_it_is_back(
    api: RunningApi, hand: Hand, migrated_postgres: EngineProcess
) -> None:
    hand.beat("scheduler", age_s=-3600)
    hand.beat("worker", age_s=-3600)
    migrated_postgres.stop()
    try:
        assert faults(api) == ["database", "schema", "scheduler", "workers"]
    finally:
        migrated_postgres.start()
    assert api.get("/readyz").status_code == 200
