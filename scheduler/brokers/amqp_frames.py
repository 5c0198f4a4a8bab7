"""A message as the bytes of its three AMQP 0-9-1 frames (method, header, body).

py-amqp builds a message from its properties anew each time. All messages of one task to one queue differ in the job's id
and series alone, and those have a fixed length, so the frames are built by py-amqp's own serialization once.
"""

from struct import pack
from typing import Final

from amqp.basic_message import Message
from amqp.serialization import dumps
from amqp.spec import Basic

from scheduler.brokers import message
from scheduler.brokers.publisher import DueJob

_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME_END: Final = b"\xce"
_PERSISTENT: Final = 2
_MANDATORY: Final = True


class FrameTemplate:
    """Makes the frames of messages of one task to one queue, on one channel."""

    def __init__(self, task: str, queue: str, channel_id: int) -> None:
        properties = Message(
            application_headers=message.headers(task, message.TASK_ID_MARK, message.SERIES_MARK),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            priority=0,
            correlation_id=message.TASK_ID_MARK,
        )._serialize_properties()  # py-amqp has no public name for it
        arguments = dumps("Bssbb", (0, "", queue, _MANDATORY, False))
        frames = (
            _frame(_METHOD, channel_id, pack(">HH", *Basic.Publish) + arguments)
            + _frame(_HEADER, channel_id, pack(">HHQ", Basic.CLASS_ID, 0, len(message.BODY)) + properties)
            + _frame(_BODY, channel_id, message.BODY)
        )
        marks = {message.TASK_ID_MARK.encode(): b"%b", pack(">i", message.SERIES_MARK): b"%b"}
        self._format = message.as_format(frames, marks)

    def frames(self, job: DueJob) -> bytes:
        """Return the message for one job, as it goes over the wire."""
        task_id = job.task_id.encode()
        # In the order of their places: headers id, series; property correlation_id.
        return self._format % (task_id, pack(">i", job.series), task_id)


def _frame(kind: int, channel_id: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, channel_id, len(payload)) + payload + _FRAME_END
