"""RabbitMQ: batches with publisher confirms and `mandatory`, on one channel.

py-amqp's own confirms wait for each message (`Channel.basic_publish_confirm`), so here a whole batch is written and then
its confirms are collected, under one deadline (https://www.rabbitmq.com/docs/confirms). Connecting, declaring and reading
frames are py-amqp's; only the frames of a message are ours.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import kombu
from amqp.exceptions import AMQPError, ChannelError
from kombu.exceptions import KombuError

from core.queues import broker_queue, broker_queue_name
from core.settings import Settings
from scheduler.brokers.amqp_frames import FrameTemplate
from scheduler.brokers.publisher import BrokerBlockedError, BrokerUnavailableError, DueJob, QueueRefusedError

CONNECT_TIMEOUT_S: Final = 5.0
#: No read or write of the socket waits longer, nor does a batch for its confirms.
SOCKET_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
HEARTBEAT_S: Final = 10
#: AMQP's short strings have one byte for their length.
LONGEST_NAME_BYTES: Final = 255
#: Messages joined into one write, about 250 KB.
MESSAGES_PER_WRITE: Final = 400
#: Long enough to read what has arrived. Never 0: py-amqp spins when a frame has arrived in part.
_GLANCE_S: Final = 0.001


class AmqpPublisher:
    """One connection with one channel in confirm mode. Made connected; after an error it is good for close() only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates: dict[tuple[str, str], FrameTemplate] = {}
        self._is_blocked = False
        self._refused: set[int] = set()
        self._returned: set[tuple[str, int]] = set()
        with _translated("connect"):
            self._connection = _connect(settings)
            self._connection.on_blocked = self._on_blocked
            self._connection.on_unblocked = self._on_unblocked
            self._channel = self._connection.channel()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)
            self._begin_confirms()

    def _begin_confirms(self) -> None:
        """Let the broker confirm what is published on the channel, which is new."""
        self._last_tag = 0
        self._lowest_tag = 1
        self._unconfirmed: set[int] = set()
        self._channel.confirm_select()

    def ready(self, queue: str) -> int:
        """Declare the queue, which costs as much as asking, and return how many messages are ready in it."""
        self._refuse_if_blocked()
        declaration = broker_queue(queue, self._settings)
        with self._of_queue(declaration.name, f"declare queue {declaration.name}"):
            declared = self._channel.queue_declare(
                queue=declaration.name, durable=True, auto_delete=False, arguments=declaration.queue_arguments
            )
        return int(declared.message_count)

    def publish(self, queue: str, jobs: Sequence[DueJob]) -> list[DueJob]:
        """Publish a batch. What the broker refuses (nack) or cannot route (return) is not among the confirmed."""
        self._refuse_if_blocked()
        first_tag = self._lowest_tag = self._last_tag + 1
        self._last_tag += len(jobs)
        self._unconfirmed = set(range(first_tag, self._last_tag + 1))
        self._refused.clear()
        self._returned.clear()
        name = broker_queue_name(queue, self._settings)
        with self._of_queue(name, f"publish {len(jobs)} messages to {name}"):
            self._write(queue, jobs)
            self._collect_confirms()
        return [
            job
            for tag, job in enumerate(jobs, first_tag)
            if tag not in self._refused and (job.task_id, job.series) not in self._returned
        ]

    def tend(self) -> None:
        """Send a heartbeat if one is due, and handle what the broker sent."""
        with _translated("heartbeat"):
            self._connection.heartbeat_tick()
            self._glance()

    def close(self) -> None:
        """Close the connection politely if the broker answers at once."""
        with suppress(BrokerUnavailableError), _translated("close"):
            try:
                if self._connection.connected:
                    self._connection.sock.settimeout(CLOSE_TIMEOUT_S)
                    self._connection.close()
            finally:
                self._connection.collect()

    @contextmanager
    def _of_queue(self, name: str, operation: str) -> Iterator[None]:
        """Turn what the broker has against one queue into QueueRefusedError.

        It closes the channel by that; py-amqp opens it again, with the same number, before it raises.
        """
        if len(name.encode()) > LONGEST_NAME_BYTES:
            raise QueueRefusedError(f"{operation:.80}...: the name is longer than {LONGEST_NAME_BYTES} bytes")
        with _translated(operation):
            try:
                yield
            except ChannelError as error:
                self._begin_confirms()
                raise QueueRefusedError(f"{operation}: {error}") from error

    def _write(self, queue: str, jobs: Sequence[DueJob]) -> None:
        for start in range(0, len(jobs), MESSAGES_PER_WRITE):
            part = jobs[start : start + MESSAGES_PER_WRITE]
            self._connection.transport.write(b"".join([self._template(job.task, queue).frames(job) for job in part]))
            self._connection.bytes_sent += len(part)  # py-amqp's count of frames: spares a heartbeat

    def _template(self, task: str, queue: str) -> FrameTemplate:
        template = self._templates.get((task, queue))
        if template is None:
            name = broker_queue(queue, self._settings).name
            template = self._templates[task, queue] = FrameTemplate(task, name, self._channel.channel_id)
        return template

    def _collect_confirms(self) -> None:
        deadline = time.monotonic() + SOCKET_TIMEOUT_S
        while self._unconfirmed:
            if self._is_blocked:
                raise BrokerBlockedError("the broker blocks publishers (memory or disk alarm)")
            self._connection.drain_events(timeout=max(_GLANCE_S, deadline - time.monotonic()))

    def _refuse_if_blocked(self) -> None:
        if self._is_blocked:
            with _translated("wait for the end of the alarm"):
                self._glance()
        if self._is_blocked:
            raise BrokerBlockedError("the broker blocks publishers (memory or disk alarm)")

    def _glance(self) -> None:
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=_GLANCE_S)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._unconfirmed -= self._meant(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        refused = self._meant(tag, multiple)
        self._refused |= refused
        self._unconfirmed -= refused

    def _meant(self, tag: int, multiple: bool) -> set[int]:
        """Return the tags of this batch that a confirm speaks of; those of an abandoned batch mean nothing any more."""
        if not multiple:
            return {tag}
        lowest, self._lowest_tag = self._lowest_tag, max(self._lowest_tag, tag + 1)
        return set(range(lowest, tag + 1))

    def _on_return(self, _error: Exception, _exchange: str, _routing_key: str, returned: Any) -> None:
        """Note an unroutable message. The broker confirms it as well, after this: it has dealt with it."""
        headers = returned.headers
        self._returned.add((headers["id"], headers["series"]))

    def _on_blocked(self, _reason: str) -> None:
        self._is_blocked = True

    def _on_unblocked(self) -> None:
        self._is_blocked = False


def _connect(settings: Settings) -> Any:
    client = kombu.Connection(settings.broker_url, connect_timeout=CONNECT_TIMEOUT_S, heartbeat=HEARTBEAT_S)
    # Through kombu for its URLs (TLS, several hosts); each host is tried once.
    client.ensure_connection(max_retries=max(0, len(client.alt) - 1), interval_start=0, reraise_as_library_errors=False)
    connection = client.connection
    connection.sock.settimeout(SOCKET_TIMEOUT_S)
    return connection


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Turn whatever py-amqp raises for a lost, refused or silent connection into BrokerUnavailableError."""
    try:
        yield
    except TimeoutError as error:
        raise BrokerUnavailableError(f"{operation}: no answer from the broker within {SOCKET_TIMEOUT_S:g} s") from error
    except (AMQPError, KombuError, OSError) as error:
        raise BrokerUnavailableError(f"{operation}: {type(error).__name__}: {error}") from error
