"""Our frames are, byte by byte, what py-amqp would have written."""

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.basic_message import Message
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from amqp.spec import Basic

from scheduler.brokers import message
from scheduler.brokers.amqp_frames import FrameTemplate
from scheduler.brokers.publisher import DueJob

TASK_ID = "01912d4e-7b1a-7c3f-9d2e-0123456789ab"


def written_by_py_amqp(task: str, queue: str, channel_id: int, task_id: str, series: int) -> bytes:
    written: list[bytes] = []
    transport: Any = SimpleNamespace(write=lambda view: written.append(bytes(view)))
    connection: Any = SimpleNamespace(frame_max=131072, bytes_sent=0)
    content = Message(
        message.BODY.decode(),
        application_headers=message.headers(task, task_id, series),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        priority=0,
        correlation_id=task_id,
    )
    arguments = dumps("Bssbb", (0, "", queue, True, False))
    frame_writer(connection, transport)(1, channel_id, Basic.Publish, arguments, content)
    return b"".join(written)


@pytest.mark.parametrize("task", ["tasks.add", "shop.100%.größe", "x" * 200])
@pytest.mark.parametrize("series", [1, 2, 255, 1_000_000])
def test_frames_are_those_of_py_amqp(task: str, series: int) -> None:
    template = FrameTemplate(task, "default.classic", channel_id=3)
    expected = written_by_py_amqp(task, "default.classic", 3, TASK_ID, series)
    assert template.frames(DueJob(TASK_ID, series, task)) == expected


def test_a_template_keeps_nothing_of_the_job_before() -> None:
    template = FrameTemplate("tasks.add", "default.classic", channel_id=1)
    first = template.frames(DueJob(TASK_ID, 1, "tasks.add"))
    template.frames(DueJob(TASK_ID.replace("0", "f"), 7, "tasks.add"))
    assert template.frames(DueJob(TASK_ID, 1, "tasks.add")) == first
