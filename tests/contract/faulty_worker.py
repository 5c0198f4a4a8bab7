"""Faults of a worker's own: loaded with the tasks (TASK_MODULES), and begun by a file that a test makes.

HANG_AT: then the main loop is blocked, as by a receiver of a signal. BREAK_AT: then the heartbeat's thread raises.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

from worker.interruption import Interruption

HANG_S = 600.0


def _begin_after(path: Path, hub: Any) -> None:
    while not path.exists():
        time.sleep(0.01)
    hub.call_soon(time.sleep, HANG_S)


def _hang(sender: Any, **_: object) -> None:
    if "HANG_AT" in os.environ:
        arguments = Path(os.environ["HANG_AT"]), sender.hub
        threading.Thread(target=_begin_after, args=arguments, daemon=True).start()


def _break(*_: object) -> None:
    if "BREAK_AT" in os.environ and Path(os.environ["BREAK_AT"]).exists():
        raise RuntimeError("a defect of the heartbeat")


worker_ready.connect(_hang, weak=False)
if "BREAK_AT" in os.environ:
    Interruption.interrupt = _break  # type: ignore[assignment]
