"""Bring the database to the newest revision: `python -m core.migrations`. Safe to run from several places at once."""

import sys
import time
from pathlib import Path
from typing import Final

import sqlalchemy
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from core.database import UNAVAILABLE, connect
from core.errors import ConfigurationError
from core.events import Event
from core.logs import configure_logging
from core.migrations import SCHEMA_REVISION
from core.settings import Settings, load_settings

#: Any constant will do; whoever upgrades holds this advisory lock.
LOCK_KEY: Final = 7_420_001
CONNECT_BUDGET_S: Final = 30.0
STATEMENT_TIMEOUT_S: Final = 600.0
EX_CONFIG: Final = 78


def upgrade(settings: Settings) -> bool:
    """Apply the missing revisions, under a lock; return whether there were any.

    Raises one of UNAVAILABLE if the database stays out of reach.
    """
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(settings, "migrations", STATEMENT_TIMEOUT_S)
    )
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        revision = MigrationContext.configure(connection).get_current_revision()  # under the lock: another may upgrade now
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()
    return revision != SCHEMA_REVISION


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
    """Return the exit code: 0 done, 1 no database, 78 (EX_CONFIG) a wrong setting."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # there are no settings to log by
        return EX_CONFIG
    configure_logging(settings, "migrations")
    log = structlog.get_logger()
    try:
        _wait_for_database(settings)
        is_changed = upgrade(settings)
    except UNAVAILABLE as error:
        log.error(Event.STORE_LOST, error=str(error).strip(), hint="is PostgreSQL running, and DATABASE_URL right?")
        return 1
    log.info(Event.SCHEMA_UPGRADED if is_changed else Event.SCHEMA_CURRENT, revision=SCHEMA_REVISION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
