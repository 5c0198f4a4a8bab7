"""What the pages below docs/ show works: each task is served, each command typed, each answer compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.pages import Block, Likeness, read_blocks
from tests.acceptance.reader import NOT_TYPED, Clone, Reader
from tests.standalone_run import ROOT, StandaloneRun

DOCS: Final = ROOT / "docs"

#: Pages with blocks that are not read here, and why.
NOT_READ: Final = {
    "how-to/deploy-with-compose.md": "needs a Docker engine; tests/compose types what it says",
}
#: These blocks are pictures.
DRAWINGS: Final = frozenset({"architecture.md", "state_machine.md"})

PAGES: Final = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if str(page.relative_to(DOCS)) not in {*NOT_READ, *DRAWINGS} and read_blocks(page)
]


@dataclass(frozen=True, slots=True)
class SharedService:
    """The service that all pages share, and the clone that it was started from."""

    clone: Clone
    run: StandaloneRun


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedService]:
    directory = tmp_path_factory.mktemp("documentation")
    clone = Clone(directory, PAGES)
    with StandaloneRun(directory, "--workers", "2", environment=clone.environment) as run:
        yield SharedService(clone, run.wait_until_ready())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_page_shows_what_is(service: SharedService, page: Path, tmp_path: Path) -> None:
    assert Reader(service.clone, service.run, tmp_path).read(page) > 0


@pytest.mark.parametrize("command", NOT_TYPED)
def test_command_that_is_not_typed_is_on_a_page(command: str) -> None:
    assert any(command in block.text.splitlines() for page in PAGES for block in read_blocks(page))


@pytest.mark.parametrize("page", sorted({*DRAWINGS, *NOT_READ}))
def test_page_that_is_not_read_is_there(page: str) -> None:
    assert (DOCS / page).exists()


@pytest.mark.parametrize("page", sorted(DRAWINGS))
def test_drawing_is_no_code(page: str) -> None:
    assert read_blocks(DOCS / page) == []


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
    shown = '["01a20be3-c117-715c-af66-05e8c517be41", "2026-11-24T04:50:05Z", {"done": 1}, "worker-2:18901:8be813", "a…c", "…"]'
    real = '["ffffffff-c117-715c-af66-05e8c517be41", "2027-01-01T00:00:00.1Z", {"done": 7}, "w:1:abcdef", "abbc", 1, 2]'
    assert Likeness().differences(Block("", "json", shown), real) == ""


def test_header_or_status_line_that_differs_is_found() -> None:
    shown = Block("", "http", "HTTP/1.1 202 Accepted\nlocation: /status/x\n\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 200 OK\r\nlocation: /status/x\r\n\r\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\nlocation: /jobs\r\n\r\n{}")
    assert Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\n\r\n{}")
    assert not Likeness().differences(shown, "HTTP/1.1 202 Accepted\r\nLocation: /status/x\r\ndate: now\r\n\r\n{}")
