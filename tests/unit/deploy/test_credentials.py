"""Credentials: made once, each where its consumer alone finds it."""

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest

from core.queues import broker_queue_name
from core.settings import Settings
from deploy.credentials import BROKER_USERS, DATABASE_USERS, QUEUES, hash_password, main

VOLUMES = ("master", "postgres", "rabbitmq", "migrations", "api", "scheduler", "worker")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volumes after the first start."""
    for name in VOLUMES:
        (tmp_path / name).mkdir()
    assert main([str(tmp_path)]) == 0
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_second_start_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(root)
    assert main([str(root)]) == 0
    assert contents(root) == before
    assert "credentials: unchanged" in capsys.readouterr().out


def test_two_installations_share_no_password(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in VOLUMES:
        (other / name).mkdir()
    main([str(other)])
    passwords = [json.loads((path / "master/passwords.json").read_text()) for path in (root, other)]
    assert not set(passwords[0].values()) & set(passwords[1].values())
    assert len(set(passwords[0].values())) == len(passwords[0]) == 1 + len(DATABASE_USERS) + len(BROKER_USERS)


def test_each_consumer_finds_its_own_passwords_only(root: Path) -> None:
    passwords = json.loads((root / "master/passwords.json").read_text())
    for volume in VOLUMES[1:]:
        text = "".join(path.read_text() for path in (root / volume).iterdir())
        own = {name for name, password in passwords.items() if password in text}
        expected = {
            "postgres": {"postgres", *DATABASE_USERS},
            "rabbitmq": set(),  # hashes
            "scheduler": {"scheduler", "broker-scheduler"},
            "worker": {"worker", "broker-worker"},
        }.get(volume, {volume})
        assert own == expected, volume


def test_lost_file_is_written_again_from_the_same_password(root: Path) -> None:
    before = contents(root)
    (root / "worker/broker-url").unlink()
    main([str(root)])
    assert contents(root) == before


def test_files_can_be_read_by_any_user_of_the_container_and_written_by_none(root: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()} == {0o444}


def test_password_hash_is_what_rabbitmq_documents() -> None:
    salted = b64decode(hash_password("password"))
    assert salted[4:] == sha256(salted[:4] + b"password").digest()


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_rights_cover_every_queue_and_nothing_of_the_brokers_own(queue_type: Literal["classic", "quorum"]) -> None:
    settings = Settings(database_url="postgresql://nowhere", broker_url="amqp://nowhere", queue_type=queue_type)
    assert all(re.search(QUEUES, broker_queue_name(name, settings)) for name in ("default", "mail.slow", "ä b"))
    assert not any(re.search(QUEUES, name) for name in ("amq.default", "amq.topic", "celery", "celeryev.1"))


def test_roles_name_every_password_that_they_use(root: Path) -> None:
    text = (root / "postgres/roles.sql").read_text()
    assert set(re.findall(r"\\set (\w+)", text)) == set(re.findall(r":'(\w+)'", text))


def test_wrong_command_line_is_refused() -> None:
    assert main([]) == 64
