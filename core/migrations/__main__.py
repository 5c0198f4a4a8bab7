"""Bring the database to the newest revision: `python -m core.migrations`. Safe to run from several places at once."""

import sys
import time
from typing import Final

import structlog

from core.database import UNAVAILABLE, connect
from core.errors import ConfigurationError
from core.events import Event
from core.logs import configure_logging
from core.migrations import SCHEMA_REVISION
from core.migrations.upgrading import BlockedError, upgrade
from core.settings import Settings, load_settings

CONNECT_BUDGET_S: Final = 30.0
EX_CONFIG: Final = 78

log = structlog.get_logger()


def _wait_for_database(settings: Settings) -> None:
    deadline = time.monotonic() + CONNECT_BUDGET_S
    while True:
        try:
            connect(settings, "migrations").close()
        except UNAVAILABLE:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def main() -> int:
    """Return the exit code: 0 done, 1 no database or no lock, 78 (EX_CONFIG) a wrong setting."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # there are no settings to log by
        return EX_CONFIG
    configure_logging(settings, "migrations")
    try:
        _wait_for_database(settings)
        is_changed = upgrade(settings)
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
