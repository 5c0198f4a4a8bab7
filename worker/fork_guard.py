"""No fork while another thread is in the middle of something.

A fork copies the process as it stands, but of its threads only the one that forks. A lock that another thread holds at
that moment (of a module's import, of the resolver, of a log) stays locked in the copy for ever. Seen in containers: the
heartbeat's thread, looking up the database's host, imported `encodings.idna`, and each pool process waited for that import
without end.
"""

import os
from threading import Lock


class ForkGuard:
    """Hold it while a thread works; a fork waits for that. A thread that only waits should not hold it."""

    def __init__(self) -> None:
        self._lock = Lock()

    def watch(self) -> None:
        """Let all forks of this process wait from now on; the copy finds the guard free."""
        os.register_at_fork(before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()
