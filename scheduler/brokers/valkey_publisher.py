"""Valkey or Redis: messages in the form of kombu's virtual transport, which a Celery worker reads from a list."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Final
from uuid import uuid4

import kombu
import redis
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.queues import broker_queue_name
from core.settings import Settings
from scheduler.brokers import message
from scheduler.brokers.publisher import BrokerUnavailableError, DueJob, QueueRefusedError

CONNECT_TIMEOUT_S: Final = 5.0
SOCKET_TIMEOUT_S: Final = 10.0
#: Messages in one LPUSH: the server does nothing else meanwhile.
MESSAGES_PER_COMMAND: Final = 500

#: How the server begins an error about a key that is no list; a pipeline puts a text of its own before it.
_NO_LIST: Final = re.compile(r"(^|caused error: )WRONGTYPE ")

_SERIES_MARK: Final = str(message.SERIES_MARK).encode()
_TAG_MARK: Final = b"<the delivery tag>"


class ValkeyPublisher:
    """One connection. A reply to LPUSH is the confirm; a list that is pushed to exists, so nothing is unroutable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates: dict[tuple[str, str], bytes] = {}
        # kombu keeps what is unacknowledged under this tag, so no two messages may share one.
        self._tag_prefix = uuid4().hex
        self._tags = count(1)
        with _translated("connect"):
            self._kombu = _open_kombu(settings)
            self._client = redis.Redis(connection_pool=self._kombu.default_channel.pool)
            # A repeated LPUSH is a second message; the relay repeats by its own rules.
            self._client.set_retry(Retry(NoBackoff(), 0))
            self._client.ping()

    def ready(self, queue: str) -> int:
        """Return the length of the queue's list."""
        with _translated(f"ask for the length of {queue}"):
            return int(self._client.llen(broker_queue_name(queue, self._settings)))

    def publish(self, queue: str, jobs: Sequence[DueJob]) -> list[DueJob]:
        """Publish a batch, all or nothing as the caller sees it."""
        key = broker_queue_name(queue, self._settings)
        messages = [self._message(job, key) for job in jobs]
        with _translated(f"publish {len(jobs)} messages to {key}"), self._client.pipeline(transaction=False) as pipeline:
            for start in range(0, len(messages), MESSAGES_PER_COMMAND):
                pipeline.lpush(key, *messages[start : start + MESSAGES_PER_COMMAND])
            pipeline.execute()
        return list(jobs)

    def tend(self) -> None:
        """Notice that the server is gone."""
        with _translated("ping"):
            self._client.ping()

    def close(self) -> None:
        """Close the connections, ours and those of kombu's channel."""
        with suppress(BrokerUnavailableError), _translated("close"):
            self._client.close()
            self._kombu.release()

    def _message(self, job: DueJob, key: str) -> bytes:
        template = self._templates.get((job.task, key))
        if template is None:
            template = self._templates[job.task, key] = _template(job.task, key)
        task_id = job.task_id.encode()
        # In the order of their places: headers id, series; properties correlation_id, delivery_tag.
        return template % (task_id, job.series, task_id, f"{self._tag_prefix}-{next(self._tags)}".encode())


def _template(task: str, key: str) -> bytes:
    envelope = {
        "body": b64encode(message.BODY).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": message.headers(task, message.TASK_ID_MARK, message.SERIES_MARK),
        "properties": {
            "correlation_id": message.TASK_ID_MARK,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": key},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": _TAG_MARK.decode(),
        },
    }
    marks = {message.TASK_ID_MARK.encode(): b"%b", _SERIES_MARK: b"%d", _TAG_MARK: b"%b"}
    return message.as_format(json.dumps(envelope).encode(), marks)


def _open_kombu(settings: Settings) -> Any:
    """Return a connection of kombu, for its reading of the URL (sockets, TLS, passwords): the workers' reading."""
    options = {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "max_retries": 0,
    }
    return kombu.Connection(settings.broker_url, transport_options=options)


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Turn what the client raises for a server that is away, full or read-only into BrokerUnavailableError.

    What the server has against one key becomes QueueRefusedError.
    """
    try:
        yield
    except redis.ResponseError as error:
        is_of_key = isinstance(error, redis.exceptions.NoPermissionError) or _NO_LIST.search(str(error))
        raise (QueueRefusedError if is_of_key else BrokerUnavailableError)(f"{operation}: {error}") from error
    except (redis.RedisError, KombuError, OSError) as error:
        raise BrokerUnavailableError(f"{operation}: {type(error).__name__}: {error}") from error
