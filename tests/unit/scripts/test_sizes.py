from pathlib import Path

from scripts.sizes import EXEMPT, ROOT, find_problems


def test_long_function_is_named_with_its_length(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f():\n" + "    x = 1\n" * 60)
    assert list(find_problems(tmp_path / "m.py")) == [f"{tmp_path}/m.py:1: f has 61 lines, more than 60: tell it in steps"]


def test_long_file_is_named_unless_it_is_a_list_of_tests(tmp_path: Path) -> None:
    for name in ("m.py", "test_m.py"):
        (tmp_path / name).write_text("x = 1\n" * 301)
    assert list(find_problems(tmp_path / "m.py")) == [f"{tmp_path}/m.py: 301 lines, more than 300: split it by its nouns"]
    assert list(find_problems(tmp_path / "test_m.py")) == []


def test_only_the_client_is_exempt_and_only_up_to_its_limit() -> None:
    ((name, limit),) = EXEMPT.items()
    assert name == "client/client.py"
    assert len((ROOT / name).read_text().splitlines()) <= limit
