"""What docs/how-to/deploy-with-compose.md says works."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.compose.project import ROOT, Project

PAGE: Final = (ROOT / "docs/how-to/deploy-with-compose.md").read_text()
LIMIT_S: Final = 180.0

pytestmark = pytest.mark.timeout(600)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


#: The last block renews the credentials. stop, up and down are what test_service.py does; --follow does not end.
LINES: Final = [
    line
    for block in blocks("sh")[:-1]
    for line in block.splitlines()
    if not re.fullmatch(r"docker compose (stop|down|up -d|logs --follow .*)", line)
]


@pytest.mark.parametrize("line", LINES)
def test_command_works(project: Project, tmp_path: Path, figures: list[str], line: str) -> None:
    printed = project.shell(line, tmp_path)  # the demo fails unless every result is right
    if line.endswith(" client"):
        figures += [f"client: {words}" for words in printed.splitlines()[-2:]]


@pytest.mark.parametrize("snippet", blocks("yaml"))
def test_override_file_is_understood(project: Project, tmp_path: Path, snippet: str) -> None:
    (tmp_path / "override.yml").write_text(snippet)
    project.shell(f'COMPOSE_FILE="$COMPOSE_FILE:{tmp_path}/override.yml" docker compose config --quiet', tmp_path)


def test_renewed_credentials_open_the_old_database(project: Project, tmp_path: Path) -> None:
    old = project.run_python("worker", "print(open('/run/credentials/database-url').read())")
    job = project.client.submit("add", x=2, y=3)
    for line in blocks("sh")[-1].splitlines():
        project.shell(line, tmp_path)
    project.wait_until_healthy()
    assert project.run_python("worker", "print(open('/run/credentials/database-url').read())") != old
    assert project.client.finished(job, LIMIT_S)["result"] == 5
