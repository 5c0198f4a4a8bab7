"""Settings come from the environment, and those with a password from files as well."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.settings import FROM_FILE, load_settings

URLS = {"DATABASE_URL": "postgresql://api:secret@postgres/tasks", "BROKER_URL": "amqp://rabbitmq"}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in FROM_FILE:
        monkeypatch.setenv(name, URLS[name])
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that DATABASE_URL_FILE names; it is not there yet."""
    path = tmp_path / "database-url"
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(path))
    return path


def test_url_is_read_from_the_file_without_its_line_end(file: Path) -> None:
    file.write_text(URLS["DATABASE_URL"] + "\n")
    assert load_settings().database_url == URLS["DATABASE_URL"]


def test_broker_url_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broker").write_text("amqp://worker:secret@rabbitmq/tasks")
    monkeypatch.setenv("BROKER_URL", "")  # as env_ignore_empty has it, an empty one is none
    monkeypatch.setenv("BROKER_URL_FILE", str(tmp_path / "broker"))
    assert load_settings().broker_url == "amqp://worker:secret@rabbitmq/tasks"


def test_missing_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"DATABASE_URL_FILE: {file} cannot be read: No such file or directory"):
        load_settings()


def test_directory_in_place_of_the_file_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigurationError, match=f"DATABASE_URL_FILE: {file} cannot be read: Is a directory"):
        load_settings()


@pytest.mark.parametrize(("content", "reason"), [(b" \n", "is empty"), (b"\xff", "cannot be read: it is not UTF-8")])
def test_file_without_a_url_is_named(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"DATABASE_URL_FILE: {file} {reason}"):
        load_settings()


def test_variable_and_file_at_once_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(URLS["DATABASE_URL"])
    monkeypatch.setenv("DATABASE_URL", URLS["DATABASE_URL"])
    with pytest.raises(ConfigurationError, match="DATABASE_URL and DATABASE_URL_FILE are both set"):
        load_settings()


def test_wrong_url_in_a_file_is_not_shown(file: Path) -> None:
    file.write_text("mysql://root:secret@host")
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL: .*must start with postgresql://") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_variables_that_are_not_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("BROKER_URL")
    with pytest.raises(ConfigurationError, match="DATABASE_URL: is not set; BROKER_URL: is not set"):
        load_settings()


@pytest.mark.parametrize("value", ["0", "128", "4096"])
def test_memory_limit_may_be_none_or_what_a_process_needs(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MEMORY_LIMIT_MIB", value)
    assert load_settings().memory_limit_mib == int(value)


@pytest.mark.parametrize("value", ["-1", "1", "127"])
def test_memory_limit_that_ends_every_attempt_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MEMORY_LIMIT_MIB", value)
    with pytest.raises(ConfigurationError, match=r"^MEMORY_LIMIT_MIB: .*(equal to 0|at least 128)"):
        load_settings()


@pytest.mark.parametrize("value", ["", "mail", "mail, reports.v2"])
def test_worker_may_serve_some_queues(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORKER_QUEUES", value)
    assert load_settings().worker_queues == value


@pytest.mark.parametrize("value", ["amq.x", "mail,two words", "x" * 101, "é"])
def test_name_that_no_queue_can_have_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORKER_QUEUES", value)
    with pytest.raises(ConfigurationError, match=r"^WORKER_QUEUES: .*cannot be a queue's name; write up to 100 letters"):
        load_settings()
