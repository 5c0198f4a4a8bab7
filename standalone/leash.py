"""Turn this process into a command that dies with its starter.

    python -I -S leash.py STARTER_PID DEATH_SIGNAL ACCOUNT COMMAND...

The kernel sends DEATH_SIGNAL when the thread that started this process ends, however it ends (prctl(2), PR_SET_PDEATHSIG).
A program of its own, and no `preexec_fn`: Python code between fork and exec can deadlock in a process with threads.
It is run as a plain file, so it imports nothing but the standard library.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

#: The starter's own account.
OWN: Final = "own"
#: Started by root: the account nobody, with the one capability to pass directories that only root may enter.
NOBODY: Final = "nobody"
#: Started by root where no other account exists (a container with one uid): root under another number.
NAMESPACE: Final = "namespace"

#: The number of nobody on every Linux distribution.
NOBODY_ID: Final = 65534

# linux/prctl.h, linux/securebits.h, linux/capability.h, linux/sched.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECUREBITS: Final = 28
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_SECBIT_NO_SETUID_FIXUP: Final = 4
_CAP_DAC_OVERRIDE: Final = 1
_CAPABILITY_VERSION_3: Final = 0x20080522
_CLONE_NEWUSER: Final = 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


def leashed(command: list[str], death_signal: signal.Signals, account: str = OWN) -> list[str]:
    """Return the command line that runs command so that it dies with the calling thread."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal)), account, *command]


def main(arguments: list[str]) -> None:
    """Take the account, tie this process to its starter, and become the command."""
    starter_pid, death_signal, account, *command = arguments
    _take_account(account)
    # After the account: a change of it clears the death signal.
    _prctl(_PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != int(starter_pid):
        sys.exit(1)  # it died before the line above
    os.execv(command[0], command)  # noqa: S606  # the caller's own command, without a shell


def _take_account(account: str) -> None:
    if account == NOBODY:
        _become_nobody()
    elif account == NAMESPACE:
        _enter_namespace()


def _become_nobody() -> None:
    """Change to nobody and keep CAP_DAC_OVERRIDE over the exec (capabilities(7), "Ambient")."""
    # Keeps the capabilities when the user changes, and lets access(2), which initdb asks, take them into account.
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(NOBODY_ID, NOBODY_ID, NOBODY_ID)
    os.setresuid(NOBODY_ID, NOBODY_ID, NOBODY_ID)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable: for the capabilities 0 to 31, then for 32 to 63
    _call("capset", header, (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _enter_namespace() -> None:
    """Enter a user namespace in which root's files belong to nobody, and so does this process (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY_ID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY_ID} {gid} 1")


def _prctl(*arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:5]  # the kernel refuses anything but zeros in what an operation does not use
    _call("prctl", *(ctypes.c_ulong(argument) for argument in padded))


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


if __name__ == "__main__":
    main(sys.argv[1:])
