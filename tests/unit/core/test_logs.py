"""What is logged is readable by machines, and betrays nothing."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from core.logs import configure_logging
from core.settings import Settings

URL = "postgresql://api:kept-to-ourselves@postgres/tasks"


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Logging as it is in a container, and as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Settings(database_url=URL, broker_url="amqp://rabbitmq", log_format="json")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_traceback_in_json_holds_no_local_variables(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(settings, "api")

    def fail(database_url: str) -> None:
        raise OSError("cannot connect")

    try:
        fail(settings.database_url)
    except OSError:
        logging.getLogger("some.package").exception("it failed")
    text = capsys.readouterr().err
    assert json.loads(text)["exception"][0]["exc_value"] == "cannot connect"
    assert "kept-to-ourselves" not in text
