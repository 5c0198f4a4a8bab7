"""The private engines of the tests: they start, die, come back and are emptied as tests need it."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import kombu
import psycopg
import pytest
from psycopg.rows import scalar_row

from core.settings import Settings
from tests.engines import EngineProcess
from tests.rabbitmq import RabbitMQProcess


def _put(url: str, name: str) -> None:
    with kombu.Connection(url) as connection, closing(connection.SimpleQueue(name)) as queue:
        queue.put("hello", delivery_mode=2)


def _size(url: str, name: str) -> int:
    with kombu.Connection(url) as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except connection.channel_errors:  # no such queue
            return 0


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_database_with_the_schema(database_url: str, turn: int) -> None:
    with psycopg.connect(database_url, row_factory=scalar_row) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == 0
        connection.execute("INSERT INTO instances (instance_id, part) VALUES ('i', 'worker')")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_broker(settings: Settings, turn: int) -> None:
    assert _size(settings.broker_url, "q") == 0
    _put(settings.broker_url, "q")
    assert _size(settings.broker_url, "q") == 1


def test_message_survives_a_restart_of_the_broker(valkey: EngineProcess, valkey_url: str) -> None:
    _put(valkey_url, "q")
    valkey.restart()
    assert _size(valkey_url, "q") == 1


def test_wiped_broker_has_lost_the_message_and_keeps_its_url(broker_url: str, request: pytest.FixtureRequest) -> None:
    broker: EngineProcess = request.getfixturevalue("rabbitmq" if broker_url.startswith("amqp") else "valkey")
    _put(broker_url, "q")
    broker.wipe()
    broker.start()
    assert _size(broker_url, "q") == 0


def test_committed_row_survives_kill_of_all_database_processes(postgres: EngineProcess, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO instances (instance_id, part) VALUES ('i', 'worker')")
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database_url)
    postgres.start()
    with psycopg.connect(database_url, row_factory=scalar_row) as connection:
        assert connection.execute("SELECT count(*) FROM instances").fetchone() == 1


def test_more_virtual_hosts_are_made_when_the_first_are_used_up(rabbitmq: RabbitMQProcess) -> None:
    assert _size(rabbitmq.engine.vhost_url(45), "q") == 0


def test_rabbitmq_listens_on_the_loopback_interface_only(rabbitmq: RabbitMQProcess) -> None:
    listening = [(address, port) for address, port in _listening() if port in rabbitmq.engine.ports]
    assert {port for _, port in listening} == set(rabbitmq.engine.ports)
    assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}


def _listening() -> Iterator[tuple[str, int]]:
    for file, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in Path(file).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == "0A":  # TCP_LISTEN; the address is in host byte order, word by word
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                yield socket.inet_ntop(family, b"".join(words)), int(port, 16)
