"""What docs/how-to/deploy-with-compose.md says works."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compose.project import ROOT, Project

PAGE: Final = (ROOT / "docs/how-to/deploy-with-compose.md").read_text()
LIMIT_S: Final = 180.0

pytestmark = pytest.mark.timeout(600)


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


SECTIONS: Final = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
#: Blocks whose lines belong together; below, and in test_restore.py, is a test for each.
RESTORE, MOVE = (block.splitlines() for block in blocks("sh", SECTIONS["Restore"]))
RENEW, AFTER_LOSS = (block.splitlines() for block in blocks("sh", SECTIONS["Credentials"]))
#: stop, up and down are what test_service.py does; --follow does not end.
LINES: Final = [
    line
    for block in blocks("sh")
    if block.splitlines() not in (RESTORE, MOVE, RENEW, AFTER_LOSS)
    for line in block.splitlines()
    if not re.fullmatch(r"docker compose (stop|down|up -d --wait|logs --follow .*)", line)
]
(BACK_UP,) = (line for line in LINES if " pg_dump " in line)
(SUBMIT,) = (line for line in LINES if " submit " in line)


@pytest.mark.parametrize("line", [line for line in LINES if line != SUBMIT])
def test_command_works(project: Project, tmp_path: Path, figures: list[str], line: str) -> None:
    printed = project.shell(line, tmp_path)  # the demo fails unless every result is right
    if line.endswith(" client"):
        figures += [f"client: {words}" for words in printed.splitlines()[-2:]]


def test_client_with_a_verb_is_the_command_line(project: Project, tmp_path: Path) -> None:
    assert project.shell(SUBMIT, tmp_path) == "5\n"


def test_client_with_a_count_is_the_demo(project: Project) -> None:
    assert "3 of 3 results are right" in project.compose("run", "--rm", "--no-TTY", "client", "--count", "3")


@pytest.mark.parametrize("snippet", blocks("yaml"))
def test_override_file_is_understood(project: Project, tmp_path: Path, snippet: str) -> None:
    (tmp_path / "override.yml").write_text(snippet)
    project.shell(f'COMPOSE_FILE="$COMPOSE_FILE:{tmp_path}/override.yml" docker compose config --quiet', tmp_path)


def test_renewed_credentials_open_the_old_database(project: Project, tmp_path: Path) -> None:
    old = project.run_python("worker", "print(open('/run/credentials/database-url').read())")
    job = project.client.submit("add", x=2, y=3)
    for line in RENEW:
        project.shell(line, tmp_path)
    project.wait_until_healthy()
    assert project.run_python("worker", "print(open('/run/credentials/database-url').read())") != old
    assert project.client.finished(job, LIMIT_S)["result"] == 5


def test_lost_credentials_are_told_and_replaced(project: Project, tmp_path: Path) -> None:
    job = project.client.finished(project.client.submit("add", x=2, y=3), LIMIT_S)
    project.compose("down")
    project.docker("volume", "rm", f"{project.name}_credentials")
    with pytest.raises(AssertionError, match="migrations"):
        project.compose("up", "--detach")
    assert "password authentication failed" in project.compose("logs", "--no-color", "migrations")
    for line in AFTER_LOSS:
        project.shell(line, tmp_path)
    project.wait_until_healthy()
    assert project.client.job(job["task_id"]) == job
