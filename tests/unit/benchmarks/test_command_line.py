"""What the options choose."""

import pytest

from benchmarks.__main__ import CONTESTANTS, MORE_CONTESTANTS, parse_plan
from benchmarks.contestant import CONTESTANTS_PATH, adapter_of
from benchmarks.engines import ENGINES
from benchmarks.programme import FULL, SMALL


def test_the_small_form_writes_nothing() -> None:
    plan = parse_plan([])
    assert (plan.programme, plan.contestants, plan.is_written) == (SMALL, list(CONTESTANTS), False)


def test_the_full_form_is_written_unless_something_is_left_out() -> None:
    assert parse_plan(["--full"]).programme == FULL
    assert parse_plan(["--full"]).is_written
    assert not parse_plan(["--full", "--only", "submit"]).is_written
    assert not parse_plan(["--full", "--contestant", "ours"]).is_written
    assert parse_plan(["--write", "--only", "submit"]).is_written


def test_measurements_and_contestants_can_be_picked() -> None:
    plan = parse_plan(
        ["--only", "batch", "--only", "status", "--contestant", "arq", "--contestant", "ours", "--rounds", "9"]
    )
    assert plan.programme.names == ("batch", "status")
    assert plan.programme.rounds == 9
    assert plan.contestants == ["ours", "arq"]


@pytest.mark.parametrize("arguments", [["--only", "submitt"], ["--contestant", "rq"]])
def test_an_unknown_name_ends_the_program(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_plan(arguments)
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*CONTESTANTS, *MORE_CONTESTANTS])
def test_each_contestant_can_be_loaded_and_is_pinned(name: str) -> None:
    assert set(adapter_of(name).engine_names) <= set(ENGINES)
    if name not in {"ours", "standalone"}:
        pins = (CONTESTANTS_PATH / name / "requirements.txt").read_text().splitlines()
        assert all("==" in pin for pin in pins)


def test_every_folder_is_a_contestant() -> None:
    folders = {path.parent.name for path in CONTESTANTS_PATH.glob("*/adapter.py")}
    assert folders == {*CONTESTANTS, *MORE_CONTESTANTS}


def test_an_earlier_commit_is_compared_in_at_least_twelve_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    plan = parse_plan(["--against", "HEAD~1", "--only", "round-trip", "--only", "submit"])
    assert (plan.against, plan.pairs, plan.programme.names) == ("HEAD~1", 12, ("submit", "round-trip"))
    assert parse_plan(["--against", "HEAD", "--rounds", "20"]).pairs == 20
    for wrong in (["--rounds", "3"], ["--only", "growth"], ["--full"], ["--contestant", "ours"]):
        with pytest.raises(SystemExit):
            parse_plan(["--against", "HEAD", *wrong])
    assert "fewer pairs say too little" in capsys.readouterr().err
