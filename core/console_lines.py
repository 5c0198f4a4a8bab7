"""Readable log lines, at a fraction of what structlog's console renderer costs: a worker writes one for each job."""

from typing import Any, Final

import structlog
from structlog.types import EventDict, WrappedLogger

_EVENT_WIDTH: Final = 20
_LEVEL_WIDTH: Final = 8
#: Fields that hold an exception or a stack, which take lines of their own.
_LONG_FIELDS: Final = ("exc_info", "exception", "stack_info", "stack")

_RESET, _BRIGHT, _DIM, _CYAN, _MAGENTA = "\033[0m", "\033[1m", "\033[2m", "\033[36m", "\033[35m"
_LEVEL_COLOURS: Final = {
    "debug": "\033[32m",
    "info": "\033[32m",
    "warning": "\033[33m",
    "error": "\033[31m",
    "critical": "\033[31m",
}


class ConsoleLines:
    """A structlog renderer: time, level, event, then name=value of each field, in colour for a terminal.

    A value that is not printable, as one with a line break, is shown as Python would write it: one event, one line.
    """

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self._with_exceptions = structlog.dev.ConsoleRenderer(
            colors=colours, pad_event_to=_EVENT_WIDTH, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        """Return the line, or the lines of an exception."""
        for name in _LONG_FIELDS:
            if name in event:
                return self._with_exceptions(logger, method, event)
        time, level, name = event.pop("timestamp"), event.pop("level"), str(event.pop("event"))
        if not self._colours:
            fields = " ".join([f"{key}={_shown(value)}" for key, value in event.items()])
            return f"{time} [{level:{_LEVEL_WIDTH}}] {name:{_EVENT_WIDTH}} {fields}"
        fields = " ".join([f"{_CYAN}{key}{_RESET}={_MAGENTA}{_shown(value)}{_RESET}" for key, value in event.items()])
        colour = _LEVEL_COLOURS.get(level, "")
        start = f"{_DIM}{time}{_RESET} [{_BRIGHT}{colour}{level:{_LEVEL_WIDTH}}{_RESET}]"
        return f"{start} {_BRIGHT}{name:{_EVENT_WIDTH}}{_RESET} {fields}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)
