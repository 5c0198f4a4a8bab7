"""api.pages and api.listing: bounds of ids, and cursors."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api.listing import ListEndpoints, to_cursor
from api.pages import PageReader, first_id
from core.acceptance import new_task_id
from core.errors import InvalidArgumentsError
from tests.api_rig import make_registry

ENDPOINTS = ListEndpoints(make_registry(), PageReader(None))  # type: ignore[arg-type]  # nothing is read


def test_first_id_parts_what_came_before_from_what_came_later() -> None:
    task_id = new_task_id()
    made_at = datetime.fromtimestamp((task_id.int >> 80) / 1000, UTC)
    assert first_id(made_at) <= task_id < first_id(made_at + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    "moment", [datetime.min.replace(tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_every_moment_has_a_first_id(moment: datetime) -> None:
    assert UUID(int=0) <= first_id(moment, timedelta(seconds=-10)) <= UUID(int=(1 << 128) - 1)


def test_cursor_leads_back_to_its_job() -> None:
    task_id = uuid4()
    assert ENDPOINTS.parse(f"cursor={to_cursor(task_id)}".encode()).before == task_id


@pytest.mark.parametrize("cursor", ["", "x", "a" * 21, "a" * 23, "=" * 22, "é" * 22, str(uuid4())])
def test_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="cursor"):
        ENDPOINTS.parse(f"cursor={cursor}".encode())


def test_task_may_be_named_by_its_route_and_need_not_be_served() -> None:
    assert [ENDPOINTS.parse(f"task={name}".encode()).task for name in ("add", "tasks.add", "gone.by")] == [
        "tasks.add",
        "tasks.add",
        "gone.by",
    ]


@pytest.mark.parametrize(
    "query", ["task=", "task=%00", "task=" + "x" * 256, "status=success", "status=", "limit=0", "limit=201"]
)
def test_unusable_filter_is_named(query: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=query.partition("=")[0]):
        ENDPOINTS.parse(query.encode())
