"""Bring the database to the newest revision: `python -m core.migrations`. Safe to run from several places at once."""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from core.database import UNAVAILABLE
from core.errors import ConfigurationError
from core.events import Event
from core.logs import configure_logging
from core.migrations import SCHEMA_REVISION
from core.migrations.upgrading import BlockedError, upgrade
from core.settings import load_settings

#: A database that starts beside us, on a machine that does much else, may take so long.
WAIT_S: Final = 120.0
PAUSE_S: Final = 0.2
EX_CONFIG: Final = 78

log = structlog.get_logger()


def when_available(
    work: Callable[[], bool], clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Return what work() returns, as soon as the database lets it; all of it may be done again.

    Raises one of UNAVAILABLE when WAIT_S have passed.
    """
    deadline = clock() + WAIT_S
    is_told = False
    while True:
        try:
            return work()
        except UNAVAILABLE as error:
            if clock() >= deadline:
                raise
            if not is_told:
                is_told = True
                log.warning(Event.STORE_LOST, error=str(error).strip().split("\n")[0], retry_for_s=WAIT_S)
        sleep(PAUSE_S)


def main() -> int:
    """Return the exit code: 0 done, 1 no database or no lock, 78 (EX_CONFIG) a wrong setting."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # there are no settings to log by
        return EX_CONFIG
    configure_logging(settings, "migrations")
    try:
        is_changed = when_available(partial(upgrade, settings))
    except UNAVAILABLE as error:
        log.error(Event.STORE_LOST, error=str(error).strip(), hint="is PostgreSQL running, and DATABASE_URL right?")
        return 1
    except BlockedError as error:
        log.error(Event.SCHEMA_BLOCKED, reason=str(error), hint="end the transaction that holds it, and run this again")
        return 1
    log.info(Event.SCHEMA_UPGRADED if is_changed else Event.SCHEMA_CURRENT, revision=SCHEMA_REVISION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
