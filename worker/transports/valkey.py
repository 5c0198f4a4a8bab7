"""Valkey and Redis: an entry of a list that is no message of kombu's is dropped when it is taken.

Taking it has removed it from its list already, so nothing is left to acknowledge.
"""

from collections.abc import Callable
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import redis, virtual
from redis.exceptions import RedisError

from worker.message_gate import Fault, RefusedMessages, UnreadableMessageError


class HandlerError(Exception):
    """What the consumer raised for an entry that is a message: not the entry's fault."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Message(virtual.Message):  # type: ignore[misc]  # kombu has no types
    """Has all that kombu reads of it. Its body stays as it came: it says nothing here, and may be packed."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        super().__init__(_readable(payload), channel=channel, **options)
        self._raw = payload


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Takes entries from lists, and goes on after one that cannot be read."""

    Message = Message
    refused: ClassVar[RefusedMessages]

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **options: Any
    ) -> Any:
        """Consume, with what the callback raises marked as such."""

        def handle(message: Any) -> Any:
            try:
                return callback(message)
            except Exception as error:
                raise HandlerError(error) from error

        return super().basic_consume(queue, no_ack, handle, consumer_tag, **options)

    def _brpop_read(self, **options: Any) -> Any:
        fault: Fault
        example: object
        try:
            return super()._brpop_read(**options)
        except HandlerError as error:
            raise error.error from None
        except UnreadableMessageError as error:
            fault, example = error.fault, error.example
        except (RedisError, OSError, Empty):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a parser raises
            fault, example = Fault.FORM, error
        self.refused.note(fault, example)
        return True


class Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    """For redis:// and the like."""

    Channel = Channel


def _readable(payload: Any) -> dict[str, Any]:
    """Return the payload without what kombu would unpack. Raises UnreadableMessageError."""
    match payload:
        case {
            "headers": dict(headers),
            "properties": {"delivery_tag": str(tag), "delivery_info": {"exchange": str(), "routing_key": str()}},
        } if tag:
            headers = {name: value for name, value in headers.items() if name != "compression"}
            return {**payload, "headers": headers, "body": None}
        case {"headers": _, "properties": {"delivery_tag": _}}:
            raise UnreadableMessageError(Fault.HEADERS, payload)
        case _:
            raise UnreadableMessageError(Fault.FORM, payload)
