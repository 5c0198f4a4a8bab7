"""api.etags: a version changes with all that can change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.etags import entity_tag, has_tag, version
from api.reading import StatusRow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROW = StatusRow(uuid4(), "tasks.add", "local", "STARTED", None, None, 1, 6, None, NOW, NOW, NOW, None)
TAG = entity_tag(version(ROW))


@pytest.mark.parametrize(
    "values",
    [
        {"status": "RETRY"},
        {"attempts": 2},
        {"error": "{}"},
        {"progress": '{"done": 1, "total": 2}'},
        {"started_at": NOW + timedelta(microseconds=1)},
        {"started_at": None},
        {"finished_at": NOW},
    ],
)
def test_version_changes_with_each_thing_that_changes(values: dict[str, Any]) -> None:
    assert version(ROW._replace(**values)) != version(ROW)


def test_version_is_the_same_for_the_same_state() -> None:
    same = StatusRow._make(ROW)._replace(started_at=NOW.astimezone())
    assert version(same) == version(ROW)


@pytest.mark.parametrize("value", ["*", " * ", TAG, f"W/{TAG}", f'"a", {TAG}', f'"a",W/"b" , {TAG},"c"'])
def test_tag_is_found(value: str) -> None:
    assert has_tag([(b"if-none-match", value.encode())], TAG)


@pytest.mark.parametrize("value", ["", '"', '"a"', TAG.strip('"'), f"'{TAG[1:-1]}'", f'"{TAG[1:-1]}x"'])
def test_other_tags_are_not_ours(value: str) -> None:
    assert not has_tag([(b"if-none-match", value.encode())], TAG)


def test_several_headers_are_one_list() -> None:
    assert has_tag([(b"if-none-match", b'"a"'), (b"accept", b"*"), (b"if-none-match", TAG.encode())], TAG)
    assert not has_tag([(b"accept", b"*")], TAG)
