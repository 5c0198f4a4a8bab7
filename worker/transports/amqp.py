"""RabbitMQ: a message whose properties py-amqp cannot parse arrives without any, so the gate refuses it.

A publisher may put anything into a header: a timestamp after the year 9999, tables in tables in tables. py-amqp raises in
the middle of the message, which leaves the connection useless.
"""

from collections.abc import Callable
from typing import Any, Final

from amqp.exceptions import UnexpectedFrame
from amqp.method_framing import frame_handler
from kombu.transport import pyamqp

_HEADER_FRAME: Final = 2
#: Class, weight and body size, which are always there; the flags of the properties and the properties follow.
_FIXED_BYTES: Final = 12
_NO_PROPERTIES: Final = b"\0\0"

Frame = tuple[int, int, Any]


class Message(pyamqp.Message):  # type: ignore[misc]  # kombu has no types
    """Is never decompressed: a body says nothing here, and a small one may become a huge one."""

    def __init__(self, message: Any, channel: Any = None, **options: Any) -> None:
        message.properties.get("application_headers", {}).pop("compression", None)
        super().__init__(message, channel=channel, **options)


class Channel(pyamqp.Channel):  # type: ignore[misc]  # kombu has no types
    """Delivers our messages."""

    Message = Message

    #: Whether the broker has closed it. py-amqp opens it again at once, but without its consumers.
    was_closed = False

    def _do_revive(self) -> None:
        self.was_closed = True
        super()._do_revive()


class Connection(pyamqp.Connection):  # type: ignore[misc]  # kombu has no types
    """Reads frames with tolerance."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.frame_handler_cls = tolerant_frame_handler


class Transport(pyamqp.Transport):  # type: ignore[misc]  # kombu has no types
    """For amqp://."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):  # type: ignore[misc]  # kombu has no types
    """For amqps://."""

    Connection = Connection


def tolerant_frame_handler(connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
    """Return py-amqp's handler of frames, which gets a header without properties where it cannot read them."""
    handle = frame_handler(connection, callback)

    def handle_frame(frame: Frame) -> bool:
        kind, channel, payload = frame
        try:
            return bool(handle(frame))
        except Exception as error:
            if kind != _HEADER_FRAME:
                raise
            try:
                return bool(handle((kind, channel, bytes(payload[:_FIXED_BYTES]) + _NO_PROPERTIES)))
            except UnexpectedFrame:
                # The header was read: a message without a body is delivered with it, and that is what has failed.
                raise error from None

    return handle_frame
