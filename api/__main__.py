"""The api: `python -m api`. Exit code 0 when stopped by a signal, 1 if it cannot listen, 78 for a wrong configuration."""

import asyncio
import sys
from typing import Final

import structlog
import uvloop

from api.app import create_app
from api.room import fit_to_system
from api.server import ApiServer, open_listener
from core.celery_app import make_app
from core.errors import ConfigurationError
from core.events import Event
from core.logs import configure_logging
from core.registry import load_registry
from core.settings import load_settings

EX_CONFIG: Final = 78


def main() -> int:
    """Serve until stopped; return the exit code."""
    try:
        settings = load_settings()
        configure_logging(settings, "api")
        registry = load_registry(make_app(settings), settings)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  # one clear sentence, whatever the log's form
        return EX_CONFIG
    try:
        listener = open_listener(settings.host, settings.port)
    except OSError as error:
        structlog.get_logger().error(
            Event.API_STOPPED,
            error=f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            hint="is another program using the port? PORT chooses another one",
        )
        return 1
    app = create_app(settings, registry)
    server = ApiServer(app, app.state.services.watch.release, fit_to_system(settings.connection_limit))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve([listener]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
