"""GET /docs and GET /openapi.json: nothing comes from another host."""

import re
from collections.abc import Iterator

import pytest

from tests.api_rig import RunningApi, make_settings


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """The api without a database."""
    with RunningApi(make_settings("postgresql://nobody@127.0.0.1:1/none")) as api:
        yield api


def test_root_leads_to_the_documentation(api: RunningApi) -> None:
    answer = api.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_page_loads_all_it_needs_from_here(api: RunningApi) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in page.text
    addresses = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
    assert len(addresses) == 3
    for address in addresses:
        asset = api.get(f"/{address}")
        assert asset.status_code == 200
        assert asset.headers["x-content-type-options"] == "nosniff"


def test_page_may_not_load_from_elsewhere_nor_be_framed(api: RunningApi) -> None:
    policy = api.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/redoc.standalone.js", "/docs/..%2fcore.py"])
def test_nothing_else_is_served(api: RunningApi, path: str) -> None:
    assert api.get(path).status_code == 404


def test_schema_is_the_same_bytes_each_time(api: RunningApi) -> None:
    first, second = api.get("/openapi.json"), api.get("/openapi.json")
    assert first.content == second.content
    assert first.json()["openapi"].startswith("3.1")
    assert (first.json()["info"]["title"], first.json()["info"]["version"]) == ("Task service", "0.1.0")
