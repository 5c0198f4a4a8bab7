"""The message to Celery (protocol 2), without arguments, as a template: only its job's id and series differ.

https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

import json
from typing import Any, Final

#: Stand-ins that are as long as the real values, and that nothing else contains.
TASK_ID_MARK: Final = "<------------the task_id------------>"[:36]
SERIES_MARK: Final = 0x5E71E500

#: args, kwargs, embed. The arguments are in the row; links too.
BODY: Final = json.dumps([[], {}, {}]).encode()


def headers(task: str, task_id: str, series: int) -> dict[str, Any]:
    """Return the headers of a message: what a worker cannot do without.

    Celery takes its defaults for the others, and each one costs both broker and worker. `ignore_result` false: a task's own
    true would keep its outcome from being stored.
    """
    return {"task": task, "id": task_id, "series": series, "ignore_result": False}


def as_format(template: bytes, marks: dict[bytes, bytes]) -> bytes:
    """Return the template for the % operator: each mark becomes its conversion, every other % stays itself."""
    template = template.replace(b"%", b"%%")
    for mark, conversion in marks.items():
        template = template.replace(mark, conversion)
    return template
