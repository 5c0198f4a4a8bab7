"""The names of what the supervisor itself logs, `noun.past_verb`."""

from enum import StrEnum


class Event(StrEnum):
    """What happened; the data goes into fields."""

    START_BEGUN = "start.begun"
    START_DELAYED = "start.delayed"
    SERVICE_STARTED = "service.started"
    SOURCES_CHANGED = "sources.changed"
    SOURCES_REFUSED = "sources.refused"
    SERVICE_RELOADED = "service.reloaded"
    PART_ENDED = "part.ended"
    ENGINE_REPAIRED = "engine.repaired"
    STOP_ASKED = "stop.asked"
    SERVICE_STOPPED = "service.stopped"
    LINES_LEFT_OUT = "lines.left_out"
    #: A line that is not from our logging: a traceback of the interpreter, a task's print.
    OUTPUT_WRITTEN = "output.written"
