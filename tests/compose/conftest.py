"""One project for all tests here; they are left out, and say so, where docker compose does not work."""

import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from typing import Final

import pytest

from tests.compose.project import Project

FIGURES: Final = pytest.StashKey[list[str]]()
HAS_FAILED: Final = pytest.StashKey[bool]()
IS_HURT: Final = pytest.StashKey[bool]()
REASON: Final = "docker compose does not work here"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, or loudly that there are none."""
    figures = terminalreporter.config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("compose")
        terminalreporter.write_line("\n".join(figures))
    left_out = [report for report in terminalreporter.stats.get("skipped", []) if REASON in str(report.longrepr)]
    if left_out:
        terminalreporter.section(REASON, red=True, bold=True)
        terminalreporter.line(f"{len(left_out)} tests were LEFT OUT. They need Docker Engine 25 and Compose 2.20, or newer.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure, for the next test and for the logs at the end."""
    report = yield
    if report.failed:
        item.config.stash[HAS_FAILED] = item.config.stash[IS_HURT] = True
    return report


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines to print at the end."""
    return pytestconfig.stash.setdefault(FIGURES, [])


@pytest.fixture
def project(pytestconfig: pytest.Config, only_project: Project) -> Project:
    """The service, healthy also if the test before has failed in the middle of something."""
    if pytestconfig.stash.get(IS_HURT, False):
        only_project.compose("up", "--detach")
        only_project.wait_until_healthy()
        pytestconfig.stash[IS_HURT] = False
    return only_project


@pytest.fixture(scope="session")
def only_project(pytestconfig: pytest.Config, figures: list[str]) -> Iterator[Project]:
    """The whole service, built and started by the commands that a user types, and healthy."""
    if not _is_compose_usable():
        pytest.skip(REASON)
    project = Project()

    def start() -> None:
        project.compose("up", "--build", "--detach", "--wait")
        project.wait_until_healthy()

    try:
        build_s = _seconds(lambda: project.compose("build"))
        up_s = _seconds(start)
        size, added = project.image_sizes_mb()
        figures.append(f"image: {size} MB, of which {added} MB are not the base image's; built in {build_s:.1f} s")
        figures.append(f"up: all healthy after {up_s:.1f} s")
        yield project
    except BaseException:
        pytestconfig.stash[HAS_FAILED] = True
        raise
    finally:
        if pytestconfig.stash.get(HAS_FAILED, False):
            print(project.compose("ps", "--all"), project.compose("logs", "--no-color", "--tail", "40"))
        project.remove()


def _is_compose_usable() -> bool:
    try:
        for command in (["docker", "compose", "version"], ["docker", "info"]):
            subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
