"""A fork must not copy the locks of a thread that is at work."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]

#: The thread is within an import when the main thread forks; the copy then imports the same.
PROGRAM: Final = """
import os, sys, threading, time
from worker.fork_guard import ForkGuard

guard, begun, forked = ForkGuard(), threading.Event(), threading.Event()
if "watch" in sys.argv:
    guard.watch()

def work():
    with guard:
        import slow

sys.path.insert(0, sys.argv[1])
threading.Thread(target=work).start()
begun.wait()
child = os.fork()
if child == 0:
    import slow
    with guard:
        os._exit(0)
forked.set()
deadline = time.monotonic() + float(sys.argv[2])
while os.waitpid(child, os.WNOHANG) == (0, 0):
    if time.monotonic() > deadline:
        os.kill(child, 9)
        os.waitpid(child, 0)
        sys.exit("stuck")
    time.sleep(0.01)
"""

#: Its import ends when the main thread has forked, or after so many seconds: with the guard, the fork waits for it.
SLOW: Final = """
import __main__
__main__.begun.set()
__main__.forked.wait({})
"""


def fork_while_a_thread_imports(directory: Path, import_s: float, limit_s: float, *arguments: str) -> str:
    (directory / "slow.py").write_text(SLOW.format(import_s))
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(directory), str(limit_s), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr.strip()


def test_fork_waits_for_the_thread_at_work_and_the_copy_is_free(tmp_path: Path) -> None:
    assert fork_while_a_thread_imports(tmp_path, 0.5, 30.0, "watch") == ""


def test_without_it_the_copy_is_stuck_for_ever(tmp_path: Path) -> None:
    assert fork_while_a_thread_imports(tmp_path, 30.0, 2.0) == "stuck"
