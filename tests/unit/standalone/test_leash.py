import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from standalone.leash import NAMESPACE, NOBODY, NOBODY_ID, OWN, leashed
from tests.engines import wait_until
from tests.processes import is_zombie

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

#: Starts a leashed `sleep`, says its pid, and waits.
STARTER = """
import signal, subprocess, sys, time
from standalone.leash import leashed
child = subprocess.Popen(leashed(["/bin/sleep", "60"], signal.SIGTERM, sys.argv[1]), start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("account", [OWN, pytest.param(NOBODY, marks=as_root), pytest.param(NAMESPACE, marks=as_root)])
def test_command_dies_with_its_starter_even_if_that_is_killed(account: str) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, account], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", 10.0, "the command runs")
        starter.kill()
    wait_until(lambda: is_zombie(pid), 10.0, "the command has ended")


def test_command_is_not_started_if_its_starter_is_gone_already() -> None:
    line = leashed(["/bin/echo", "started"], signal.SIGKILL)
    line[line.index(str(os.getpid()))] = "1"
    outcome = subprocess.run(line, capture_output=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (1, b"")


@as_root
@pytest.mark.parametrize("account", [NOBODY, NAMESPACE])
def test_root_under_another_account_still_enters_directories_of_root_only(account: str, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed/file").write_text("read")
    script = f"id -u; test -r {tmp_path}/closed/file && cat {tmp_path}/closed/file"
    outcome = subprocess.run(
        leashed(["/bin/sh", "-c", script], signal.SIGKILL, account), capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == [str(NOBODY_ID), "read"]
