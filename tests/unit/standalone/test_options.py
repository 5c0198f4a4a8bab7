from pathlib import Path

import pytest

from standalone.options import ROOT, Options, parse_options


def test_defaults_are_port_8000_four_workers_and_data_in_the_repository() -> None:
    assert parse_options([]) == Options(8000, 4, ROOT / ".data", reload=False, log_format="console")


def test_all_options_are_read(tmp_path: Path) -> None:
    words = f"--port 0 --workers 2 --data-dir {tmp_path} --reload --log-format json"
    assert parse_options(words.split()) == Options(0, 2, tmp_path, reload=True, log_format="json")


def test_relative_data_directory_is_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_options(["--data-dir", "jobs"]).data_path == tmp_path / "jobs"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--prot 1", "./dev run: unrecognized arguments: --prot 1 (see ./dev run --help)"),
        ("--port 70000", "./dev run: argument --port: must be a number from 0 to 65535, not '70000' (see ./dev run --help)"),
        ("--workers 0", "./dev run: argument --workers: must be a number from 1 to 64, not '0' (see ./dev run --help)"),
    ],
)
def test_wrong_option_ends_with_one_sentence(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_options(words.split())
    assert exit_.value.code == 64
    assert capsys.readouterr().err == sentence + "\n"
