import json
import os
from pathlib import Path

import pytest

from standalone.data_directory import claim
from standalone.errors import StandaloneError


def test_second_run_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    refusal = pytest.raises(StandaloneError, match=rf"in use by another run \(pid {os.getpid()}\)")
    with claim(tmp_path / "data"), refusal, claim(tmp_path / "data"):
        pass


def test_directory_can_be_claimed_again_after_the_run(tmp_path: Path) -> None:
    for _ in range(2):
        with claim(tmp_path / "data") as data:
            assert data.run_path.is_dir()
        assert not data.run_path.exists()


def test_only_its_owner_may_enter_a_new_data_directory(tmp_path: Path) -> None:
    with claim(tmp_path / "data") as data:
        assert data.path.stat().st_mode & 0o777 == 0o700
        assert data.run_path.stat().st_mode & 0o777 == 0o700


def test_sockets_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    with claim(tmp_path / "data") as data:
        left_over = data.run_path.with_name(data.run_path.name + "-left-over")
    left_over.mkdir()
    (data.path / "lock").write_text(json.dumps({"pid": 1, "run_path": str(left_over)}))
    with claim(tmp_path / "data"):
        assert not left_over.exists()


def test_nothing_but_a_run_directory_is_ever_removed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "data/lock").write_text(json.dumps({"pid": 1, "run_path": str(precious)}))
    with claim(tmp_path / "data"):
        assert precious.exists()


def test_file_in_place_of_the_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    refusal = pytest.raises(StandaloneError, match=r"cannot be used \(.*\): name another with --data-dir")
    with refusal, claim(tmp_path / "data"):
        pass


def test_long_engine_log_is_put_aside(tmp_path: Path) -> None:
    with claim(tmp_path / "data") as data:
        log = data.log_path / "postgres.log"
        with log.open("wb") as file:
            file.truncate(11 * 1024 * 1024)
    with claim(tmp_path / "data"):
        assert not log.exists()
        assert log.with_suffix(".log.old").exists()
