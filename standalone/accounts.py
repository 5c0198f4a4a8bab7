"""Under which account PostgreSQL runs: it refuses to be root."""

import os
import signal
import subprocess
from pathlib import Path

from standalone.errors import StandaloneError
from standalone.leash import NAMESPACE, NOBODY, NOBODY_ID, OWN, leashed


def choose_account(probe: list[str]) -> str:
    """Return the account for PostgreSQL, one of leash's three: the first under which the command probe succeeds.

    Raises StandaloneError if root cannot become anybody else here.
    """
    if os.geteuid() != 0:
        return OWN
    for account in (NOBODY, NAMESPACE):
        outcome = subprocess.run(leashed(probe, signal.SIGKILL, account), capture_output=True, check=False, cwd="/")
        if outcome.returncode == 0:
            return account
    raise StandaloneError("PostgreSQL refuses to run as root, and here root cannot become another user: start as one")


def give_tree(path: Path, account: str) -> None:
    """Make path and all below it the account's, where it is another's (the directory was used under another account)."""
    if account == OWN:
        return
    uid, gid = (NOBODY_ID, NOBODY_ID) if account == NOBODY else (os.geteuid(), os.getegid())
    if path.stat().st_uid == uid:
        return
    for directory, _, files in os.walk(path, topdown=False):  # path itself last: it tells that all is done
        for name in files:
            os.lchown(Path(directory, name), uid, gid)
        os.lchown(directory, uid, gid)
