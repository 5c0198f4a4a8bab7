"""Logging for every part: structlog over the standard library, one stream (stderr), readable or JSON."""

import logging
import logging.config
import os
import sys
from typing import Any, Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, Processor, WrappedLogger

from core.console_lines import ConsoleLines
from core.settings import Settings

#: Loggers whose lines our own events say better, and without arguments in them; up to which level they are silent.
_QUIET: Final = {
    "alembic": logging.WARNING,
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
    "celery.app.trace": logging.CRITICAL,
    "celery.apps.worker": logging.WARNING,
    "celery.worker.consumer.connection": logging.WARNING,
    "celery.worker.request": logging.CRITICAL,
    "celery.worker.strategy": logging.WARNING,
    "kombu": logging.WARNING,
    "multiprocessing": logging.CRITICAL,
    "uvicorn.access": logging.WARNING,
}


def configure_logging(settings: Settings, part: str) -> None:
    """Send everything, ours and the libraries', to stderr in the form that settings.log_format names.

    part is a field of every line. Fields bound with structlog.contextvars (task_id, attempt) are on every line as well,
    also on those that a task writes with the standard library's logging.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _name_part(part),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _renderers(settings)
    _configure_libraries(settings, [*shared, structlog.stdlib.ExtraAdder(), _add_logger_name], renderers)
    # Our own lines go straight to the stream: a worker writes one for each job, and the standard library's way costs three
    # times as much.
    structlog.configure(
        processors=[*shared, *renderers],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=True,
    )


def _configure_libraries(settings: Settings, chain: list[Processor], renderers: list[Processor]) -> None:
    """Render what the libraries and the tasks log with the standard library in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


def _renderers(settings: Settings) -> list[Processor]:
    if settings.log_format == "json":
        # without the frames' local variables, which may be arguments of a job or the URLs of the engines
        plain = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        return [plain, structlog.processors.JSONRenderer()]
    return [ConsoleLines(colours=sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR")))]


def _name_part(part: str) -> Processor:
    def add_part(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["part"] = part
        return event

    return add_part


def _add_logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: Any = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event
