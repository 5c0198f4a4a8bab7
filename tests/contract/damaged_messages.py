"""Messages that were damaged at random: in their structure, or in the bytes that go to the broker. Seeded, so repeatable."""

import json
import random
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import kombu
import redis
from amqp.basic_message import Message
from amqp.exceptions import AMQPError
from amqp.serialization import dumps
from amqp.spec import Basic

BODY: Final = b"[[], {}, {}]"
PUBLISH_LIMIT_S: Final = 10.0

#: Values of other types, and some at the edge of what a type can hold.
SCALARS: Final = (None, True, False, 0, -1, 2**31 - 1, 2**63 - 1, 1.5, "", "abc", "\0", "é" * 80, "x" * 5000, "[]")
TIMESTAMP: Final = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
#: What py-amqp writes for TIMESTAMP, and seconds that no datetime can hold.
WRITTEN: Final = struct.pack(">Q", 2_000_000_000)
BEYOND: Final = struct.pack(">Q", 2**62)


def headers_of(rng: random.Random) -> dict[str, Any]:
    """Return the headers of a valid message, for a job that nobody has accepted."""
    task_id = str(UUID(int=rng.getrandbits(128), version=4))
    return {"task": "tasks.add", "id": task_id, "series": 1, "ignore_result": False}


class DamagedAmqp:
    """Publishes to a queue of RabbitMQ. The broker refuses some: then it closes the connection, and nothing arrives."""

    def __init__(self, url: str, queue: str, rng: random.Random) -> None:
        self._url = url
        self._queue = queue
        self._rng = rng
        self._connection: Any = None

    def publish(self, count: int) -> None:
        """Publish so many damaged messages."""
        for number in range(count):
            properties = self._damaged_properties() if number % 2 else self._damaged_bytes()
            with suppress(AMQPError, OSError):
                self._send(properties, b"" if self._rng.random() < 0.2 else self._damaged_body())
                continue
            self._connection = None
        self.close()

    def publish_nested(self, depths: Iterable[int]) -> None:
        """Publish valid messages, each with one more header: a list in a list in a list, so deep."""
        for depth in depths:
            headers = headers_of(self._rng) | {"x": self._value(depth)}
            self._send(bytes(Message(application_headers=headers)._serialize_properties()), BODY)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _damaged_properties(self) -> bytes:
        rng = self._rng
        headers = headers_of(rng)
        options: dict[str, Any] = {"content_type": "application/json", "content_encoding": "utf-8"}
        for _ in range(rng.randint(1, 3)):
            name = rng.choice([*headers, "timelimit", "expires", "eta", "compression", "stamped_headers", "retries", "x"])
            match rng.randrange(6):
                case 0:
                    headers.pop(name, None)
                case 1:
                    options[rng.choice(list(options))] = rng.choice(["", "text/x", "utf-99", "binary"])
                case _:
                    headers[name] = self._value(rng.choice([0, 0, 1, 3, 400]))
        if rng.random() < 0.05:
            headers = {}
        return bytes(Message(application_headers=headers, **options)._serialize_properties()).replace(WRITTEN, BEYOND)

    def _value(self, depth: int) -> Any:
        if depth > 3:
            value: Any = 1
            for _ in range(depth):
                value = [value]
            return value
        if depth == 0:
            more = (b"\xff\xfe", Decimal(-1), TIMESTAMP, 2**40, -(2**40), "\udc80")
            return self._rng.choice(SCALARS + more)
        if self._rng.random() < 0.5:
            return [self._value(depth - 1) for _ in range(self._rng.randint(0, 3))]
        return {self._rng.choice("abé"): self._value(depth - 1) for _ in range(self._rng.randint(0, 3))}

    def _damaged_bytes(self) -> bytes:
        properties = bytearray(Message(application_headers=headers_of(self._rng))._serialize_properties())
        return damage(self._rng, properties, from_byte=2)

    def _damaged_body(self) -> bytes:
        return damage(self._rng, bytearray(BODY))

    def _send(self, properties: bytes, body: bytes) -> None:
        """Write a message's frames, and wait until the broker has confirmed it."""
        if self._connection is None:
            self._connection = kombu.Connection(self._url, transport_options={"confirm_publish": True}).connection
            self._confirmed: list[int] = []
            self._channel = self._connection.channel()
            self._channel.events["basic_ack"].add(lambda tag, _multiple: self._confirmed.append(tag))
            self._channel.confirm_select()
        self._confirmed.clear()
        arguments = struct.pack(">HH", *Basic.Publish) + dumps("Bssbb", (0, "", self._queue, False, False))
        header = struct.pack(">HHQ", Basic.CLASS_ID, 0, len(body)) + properties
        frames = [(1, arguments), (2, header), *([(3, body)] if body else [])]
        self._connection.transport.write(b"".join(self._frame(kind, payload) for kind, payload in frames))
        while not self._confirmed:
            self._connection.drain_events(timeout=PUBLISH_LIMIT_S)

    def _frame(self, kind: int, payload: bytes) -> bytes:
        return struct.pack(">BHI", kind, self._channel.channel_id, len(payload)) + payload + b"\xce"


class DamagedValkey:
    """Pushes to a list of Valkey."""

    def __init__(self, client: redis.Redis, queue: str, rng: random.Random) -> None:
        self._client = client
        self._queue = queue
        self._rng = rng

    def publish(self, count: int) -> None:
        """Push so many damaged messages."""
        for number in range(count):
            text = json.dumps(self._damaged_structure() if number % 2 else self._whole()).encode()
            if number % 2 == 0:
                text = damage(self._rng, bytearray(text)) if number % 3 else self._rng.randbytes(self._rng.randint(0, 60))
            self._client.lpush(self._queue, text)

    def _whole(self) -> dict[str, Any]:
        headers = headers_of(self._rng)
        return {
            "body": "W1tdLCB7fSwge31d",
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": headers["id"],
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": self._queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": self._rng.choice([headers["id"], "the same one"]),
            },
        }

    def _damaged_structure(self) -> Any:
        whole = self._whole()
        for _ in range(self._rng.randint(1, 3)):
            if not isinstance(whole, dict):
                break
            whole = self._replace(whole)
        return whole

    def _replace(self, whole: dict[str, Any]) -> Any:
        """Replace, remove or add one value anywhere."""
        places = [(whole, name) for name in whole]
        for parent, name in places:  # grows as we go
            if isinstance(parent[name], dict):
                places += [(parent[name], inner) for inner in parent[name]]
        if not places or self._rng.random() < 0.03:
            return self._rng.choice(SCALARS)
        parent, name = self._rng.choice(places)
        match self._rng.randrange(4):
            case 0:
                del parent[name]
            case 1:
                parent[self._rng.choice(["timelimit", "compression", "stamped_headers", "__type__"])] = self._value()
            case _:
                parent[name] = self._value()
        return whole

    def _value(self) -> Any:
        rng = self._rng
        kinds = ["uuid", "datetime", "decimal", "bytes", "x", 1, []]
        hooked = {"__type__": rng.choice(kinds), "__value__": rng.choice(SCALARS)}
        return rng.choice([*SCALARS, hooked, [], {}, [1, [2]], {"a": {"b": None}}, _nested(300), 10**30])


def damage(rng: random.Random, content: bytearray, from_byte: int = 0) -> bytes:
    """Return the content with one to four bytes changed, or something cut out or put in."""
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(from_byte, max(from_byte + 1, len(content)))
        match rng.randrange(4):
            case 0:
                del content[place : place + rng.randint(1, 8)]
            case 1:
                content[place:place] = rng.randbytes(rng.randint(1, 8))
            case _ if place < len(content):
                content[place] = rng.randrange(256)
    return bytes(content)


def _nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def lines_about(event: str, logged: str) -> Iterator[str]:
    """Yield the lines of a log in which an event is named."""
    return (line for line in logged.splitlines() if f" {event} " in line)
