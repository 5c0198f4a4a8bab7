"""What the README says works: its task, its commands, its links."""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.reader import Clone, save
from tests.standalone_run import StandaloneRun

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text()
BLOCKS: Final = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
PAGES: Final = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def shell(command: str, directory: Path) -> str:
    outcome = subprocess.run(
        ["bash", "-ec", command], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def test_its_task_and_its_curl_lines_do_what_it_shows(tmp_path: Path) -> None:
    clone = Clone(tmp_path, pages=[])
    for module in clone.path.glob("tasks/[a-z]*.py"):
        module.unlink()  # what is served is the README's own
    save(clone.path / "tasks" / "arithmetic.py", blocks("python")[0])
    submit, status = (block for block in blocks("sh") if block.startswith("curl"))
    shown_accepted, shown_status = map(json.loads, blocks("json"))
    with StandaloneRun(tmp_path, "--workers", "1", environment={"PYTHONPATH": str(clone.path)}) as run:
        host = run.wait_until_ready().url.removeprefix("http://")
        accepted = json.loads(shell(submit.replace("localhost:8000", host), tmp_path))
        task_id = accepted["task_id"]
        answer = shell(status.replace("localhost:8000", host).replace(shown_accepted["task_id"], task_id), tmp_path)
    assert accepted == shown_accepted | {"task_id": task_id}
    times = {name: value for name, value in json.loads(answer).items() if name.endswith("_at")}
    assert json.loads(answer) == shown_status | {"task_id": task_id} | times


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\./dev (\w+)", README))))
def test_each_dev_command_that_it_names_exists(command: str) -> None:
    assert re.search(rf"\./dev {command}\b", shell("./dev --help", ROOT))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_it_fits_on_few_screens() -> None:
    assert len(README.splitlines()) < 150
