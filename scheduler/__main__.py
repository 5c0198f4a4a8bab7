"""Publish what is due and rescue what a crash left: `python -m scheduler`. Several may run."""

import os
import signal
import socket
import sys
import threading
from functools import partial
from types import FrameType
from typing import Final
from uuid import uuid4

import structlog

from core.errors import ConfigurationError
from core.events import Event
from core.heartbeat_file import HeartbeatFile
from core.logs import configure_logging
from core.settings import Settings, load_settings
from scheduler.broker_link import BrokerLink
from scheduler.brokers import make_publisher
from scheduler.crew import Crew
from scheduler.duty import Duty, DutyRunner
from scheduler.heartbeat import Heartbeat
from scheduler.housekeeping import Housekeeping
from scheduler.outage import Outage
from scheduler.relay import Relay
from scheduler.republishing import Republishing
from scheduler.rescue import Rescue
from scheduler.retention import Retention
from scheduler.vacuuming import Vacuuming
from scheduler.windows import Window

EX_CONFIG: Final = 78

log = structlog.get_logger()


def run_scheduler(settings: Settings, stop: threading.Event) -> bool:
    """Run all duties until stop is set; return whether nothing failed."""
    instance_id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
    outage = Outage(Event.STORE_LOST, Event.STORE_RESTORED)
    runners = {duty.name: DutyRunner(duty, settings, outage) for duty in _duties(settings, instance_id)}
    log.info(Event.SCHEDULER_STARTED, instance=instance_id)
    is_clean = Crew(runners, stop).run()
    log.info(Event.SCHEDULER_STOPPED, instance=instance_id)
    return is_clean


def _duties(settings: Settings, instance_id: str) -> list[Duty]:
    connect = partial(make_publisher, settings)
    return [
        Heartbeat(instance_id, HeartbeatFile(settings.heartbeat_file)),
        Relay(partial(Window, settings.publish_window), BrokerLink(connect)),
        Rescue(settings.max_losses, Republishing(connect)),
        Housekeeping(Retention(settings.retention_s), Vacuuming()),
    ]


def main() -> int:
    """Return the exit code: 0 stopped by a signal, 1 a thread died, 78 (EX_CONFIG) a wrong setting."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # there are no settings to log by
        return EX_CONFIG
    configure_logging(settings, "scheduler")
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return 0 if run_scheduler(settings, stop) else 1


if __name__ == "__main__":
    sys.exit(main())
