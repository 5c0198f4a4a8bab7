"""Request bodies: the right media type, and not too large. Those that are too slow are the server's business."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from starlette.types import Message, Receive

from core.errors import BodiesFullError, MalformedError, TooLargeError, UnsupportedMediaTypeError

Headers = list[tuple[bytes, bytes]]

#: A body that is too large is read up to this, or to twice its limit, and thrown away, so that the client comes to read why
#: it was refused.
DISCARD_LIMIT_BYTES: Final = 16 * 1024 * 1024

_JSON: Final = b"application/json"
_IDENTITY: Final = b"identity"
_SHOWN: Final = 64

#: Fields whose meaning is unclear when they come twice; the server itself refuses a second Content-Length.
_ONCE: Final = (b"host", b"content-type", b"content-encoding", b"idempotency-key")


class ClientGoneError(Exception):
    """The client went away before its request was here: there is nobody to answer."""


def read_fields(headers: Headers) -> dict[bytes, bytes]:
    """Return the header fields by name, in lower case. Raises MalformedError if one that may come once comes twice."""
    fields = dict(headers)
    if len(fields) < len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise MalformedError(f"the header {name.decode('ascii')} is given more than once")
    return fields


class BodyMemory:
    """The memory for bodies while they arrive, `limit_bytes` for all of them: who sends slowly holds what it has sent."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes so many bytes more, until the end of the block. It raises BodiesFullError."""
        own_bytes = 0

        def take(size_bytes: int) -> None:
            nonlocal own_bytes
            if self._held_bytes + size_bytes > self._limit_bytes:
                raise BodiesFullError("too many large bodies are arriving at the same time; try again")
            self._held_bytes += size_bytes
            own_bytes += size_bytes

        try:
            yield take
        finally:
            self._held_bytes -= own_bytes


async def read_json(
    fields: Mapping[bytes, bytes], receive: Receive, limit_bytes: int, memory: BodyMemory | None = None
) -> bytes:
    """Return the body of a request with Content-Type application/json.

    No body at all stands for {}, unless a web page sends it: a page of another site can do that without asking us first.
    Raises UnsupportedMediaTypeError, TooLargeError, ClientGoneError; BodiesFullError if there is no memory left.
    """
    content_type = fields.get(b"content-type")
    if content_type != _JSON:
        _check_content_type(content_type, fields)
    if fields.get(b"content-encoding", _IDENTITY) != _IDENTITY:
        raise UnsupportedMediaTypeError("Content-Encoding is not supported; send the body as it is")
    _check_length(fields, limit_bytes)
    if memory is None:
        body = await _receive_all(receive, limit_bytes)
    else:
        with memory.share() as take:
            body = await _receive_all(receive, limit_bytes, take)
    if content_type is None:
        if body:
            raise UnsupportedMediaTypeError("a body needs the header Content-Type: application/json")
        return b"{}"
    return body


def _check_content_type(content_type: bytes | None, fields: Mapping[bytes, bytes]) -> None:
    if content_type is None:
        if b"origin" in fields:
            raise UnsupportedMediaTypeError("a request of a web page needs the header Content-Type: application/json")
        return
    essence, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = [value.strip(b'"') for name, _, value in (part.partition(b"=") for part in parameters) if name == b"charset"]
    if essence != _JSON or any(charset not in (b"utf-8", b"utf8") for charset in charsets):
        raise UnsupportedMediaTypeError(
            f"Content-Type {content_type[:_SHOWN].decode('latin-1')!r} is not supported; send application/json in UTF-8"
            " (curl -H 'content-type: application/json')"
        )


def _check_length(fields: Mapping[bytes, bytes], limit_bytes: int) -> None:
    declared = fields.get(b"content-length", b"0")
    # Who expects 100-continue has not sent the body yet, and what is beyond all measure is not worth reading.
    tolerated_bytes = limit_bytes if b"expect" in fields else _discard_limit_bytes(limit_bytes)
    if declared.isdigit() and int(declared) > tolerated_bytes:
        raise _too_large(limit_bytes)


async def _receive_all(receive: Receive, limit_bytes: int, take: Callable[[int], None] | None = None) -> bytes:
    message = await _receive(receive)
    if not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    chunks = [message.get("body", b"")]
    size_bytes = len(chunks[0])
    while message.get("more_body"):
        message = await _receive(receive)
        chunk = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes > _discard_limit_bytes(limit_bytes):
            raise _too_large(limit_bytes)
        if size_bytes <= limit_bytes:
            if take is not None:
                take(len(chunk))
            chunks.append(chunk)
    if size_bytes > limit_bytes:
        raise _too_large(limit_bytes)
    return b"".join(chunks)


async def _receive(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


def _discard_limit_bytes(limit_bytes: int) -> int:
    return max(DISCARD_LIMIT_BYTES, 2 * limit_bytes)


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit_bytes} bytes")
