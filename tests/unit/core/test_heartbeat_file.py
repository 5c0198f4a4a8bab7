"""The file that health checks look at."""

import os
from pathlib import Path

import pytest

from core.heartbeat_file import HeartbeatFile


def test_touch_makes_the_file_young(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    file = HeartbeatFile(str(path))
    file.touch()
    os.utime(path, (0, 0))
    file.touch()
    assert path.stat().st_mtime > 0


def test_place_that_cannot_be_written_does_not_end_the_heartbeat(tmp_path: Path) -> None:
    HeartbeatFile(str(tmp_path / "missing" / "heartbeat")).touch()
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    HeartbeatFile("").touch()
    assert list(tmp_path.iterdir()) == []
