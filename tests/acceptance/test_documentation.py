"""What the pages below docs/ show works: each task is served, each command typed, each answer compared."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from client import Client
from core import errors
from core.settings import Settings
from tests.acceptance.pages import Block, Likeness, anchors_of, read_blocks
from tests.acceptance.reader import NOT_TYPED, Clone, Reader
from tests.standalone_run import ROOT, StandaloneRun

DOCS: Final = ROOT / "docs"

#: Pages with blocks that are not read here, and why.
NOT_READ: Final = {
    "how-to/deploy-with-compose.md": "needs a Docker engine; tests/compose types what it says",
    "operations.md": "shows what a service says that is broken; tests/faults breaks it",
    "reliability.md": "the cases in tests/faults are its examples, and write its table",
}
ALL_PAGES: Final = sorted(DOCS.rglob("*.md"))
PAGES: Final = [page for page in ALL_PAGES if str(page.relative_to(DOCS)) not in NOT_READ and read_blocks(page)]
API_REFERENCE: Final = (DOCS / "reference" / "api.md").read_text()


@dataclass(frozen=True, slots=True)
class SharedService:
    """The service that all pages share, and the clone that it was started from."""

    clone: Clone
    run: StandaloneRun


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedService]:
    directory = tmp_path_factory.mktemp("documentation")
    clone = Clone(directory, PAGES)
    with StandaloneRun(directory, "--workers", "2", environment=clone.environment) as run:
        yield SharedService(clone, run.wait_until_ready())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_page_shows_what_is(shared: SharedService, page: Path, tmp_path: Path) -> None:
    assert Reader(shared.clone, shared.run, tmp_path).read(page) > 0


@pytest.mark.parametrize("command", NOT_TYPED)
def test_command_that_is_not_typed_is_on_a_page(command: str) -> None:
    assert any(command in block.text.splitlines() for page in PAGES for block in read_blocks(page))


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_calls_of_the_client_in_running_text_are_its_methods(page: Path) -> None:
    assert [name for name in re.findall(r"`client\.(\w+)\(", page.read_text()) if not hasattr(Client, name)] == []


@pytest.mark.parametrize("page", NOT_READ)
def test_page_that_is_not_read_is_there(page: str) -> None:
    assert (DOCS / page).exists()


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    missing = [
        f"{path}#{anchor}" for path, anchor in links if anchor not in anchors_of((page.parent / path) if path else page)
    ]
    assert missing == []


def test_index_leads_to_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {str(page.relative_to(DOCS)) for page in ALL_PAGES if page.parent.name != "decisions"} - {"README.md"}
    assert [page for page in sorted(pages) if f"]({page})" not in index] == []


def test_api_reference_has_every_route_with_its_parameters_and_statuses(shared: SharedService) -> None:
    schema = requests.get(f"{shared.run.url}/openapi.json", timeout=10).json()
    missing = [
        f"{section}: {word}"
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        for section in [f"`{method.upper()} {_path_on_page(path, operation)}`"]
        for word in _words_of(operation)
        if word not in _section(section)
    ]
    assert missing == []


def test_api_reference_has_every_member_of_every_body(shared: SharedService) -> None:
    schemas = requests.get(f"{shared.run.url}/openapi.json", timeout=10).json()["components"]["schemas"]
    own = {name: schema for name, schema in schemas.items() if "." not in name}  # the others are tasks' models
    members = {member for schema in own.values() for member in schema.get("properties", {})}
    assert [member for member in sorted(members) if not re.search(rf'[`"]{member}[`"]', API_REFERENCE)] == []


def test_api_reference_has_every_error_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TaskServiceError)]
    codes = {(kind.code, kind.status) for kind in kinds if kind.status != 500}
    assert [code for code, status in sorted(codes) if f"| `{code}` | {status} |" not in API_REFERENCE] == []


def test_limits_in_the_api_reference_are_the_defaults() -> None:
    shown = re.findall(r"^\|[^|]*\| ([\d,]+)[^|]*\| `(\w+)` \|", _section("Limits"), flags=re.MULTILINE)
    assert len(shown) == 12
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert [(int(number.replace(",", "")), name) for number, name in shown] == [(defaults[name], name) for _, name in shown]


def _section(heading: str) -> str:
    """Return the text below a heading of the API reference, "" if there is none."""
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", API_REFERENCE, flags=re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _path_on_page(path: str, operation: dict[str, Any]) -> str:
    return "/{task}" if operation["operationId"].startswith("submit_") and operation["tags"] == ["tasks"] else path


def _words_of(operation: dict[str, Any]) -> Iterator[str]:
    """Yield what the section of an operation has to mention: that it is there, its parameters, its statuses."""
    yield "\n"
    yield from (parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] != "path")
    yield from operation["responses"]


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1}', '{"a": 2}'),
        ('{"a": 1}', '{"a": 1.0}'),
        ('{"a": 0}', '{"a": false}'),
        ('{"a": null}', '{"a": "2026-11-24T04:50:05Z"}'),
        ('{"a": "2026-11-24T04:50:05Z"}', '{"a": "soon"}'),
        ('{"a": [1, 2]}', '{"a": [1]}'),
        ('{"a": [1]}', '{"a": [1, 2]}'),
        ('{"a": "b…"}', '{"a": "ab"}'),
        ('{"traceback": "…"}', '{"traces": "…"}'),
        ('{"done": 1}', '{"done": null}'),
        ("{}", "no JSON"),
        (
            '["01a20be3-c117-715c-af66-05e8c517be41", "01a20be3-c117-715c-af66-05e8c517be41"]',
            '["01a20be3-c117-715c-af66-05e8c517be42", "01a20be3-c117-715c-af66-05e8c517be43"]',
        ),
    ],
)
def test_difference_is_found(shown: str, real: str) -> None:
    assert Likeness().differences(Block("", "json", shown), real)


def test_what_varies_is_no_difference() -> None:
    shown = (
        '["01a20be3-c117-715c-af66-05e8c517be41", "2026-11-24T04:50:05Z",{"done": 1}, "worker-2:1890:8be813", "a…c", "…"]'
    )
    real = '["ffffffff-c117-715c-af66-05e8c517be41", "2027-01-01T00:00:00.1Z", {"done": 7}, "w:1:abcdef", "abbc", 1, 2]'
    assert Likeness().differences(Block("", "json", shown), real) == ""


def test_header_or_status_line_that_differs_is_found() -> None:
    shown = Block("", "http", "HTTP/1.1 202 Accepted\nlocation: /status/x\n\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 200 OK\r\nlocation: /status/x\r\n\r\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\nlocation: /jobs\r\n\r\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\n\r\n{}")
    assert not Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\nLocation: /status/x\r\ndate: now\r\n\r\n{}")
