"""./dev explains itself, also to a Python that is too old, and installs only what has changed."""

import ast
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OLD_NAMES: Final = ("python2.7", "python3.6", "python3.7", "python3.8", "python3.9", "python3.10")
OLD_PYTHONS: Final = [path for path in map(shutil.which, OLD_NAMES) if path]
#: What the parser of Python 2.7 or 3.0 does not know.
NEW_SYNTAX: Final = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef, ast.Await, ast.YieldFrom)


def _dev(*arguments: str, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run(
        [python, str(ROOT / "dev"), *arguments], capture_output=True, text=True, check=False, env=variables
    )


@pytest.fixture
def module() -> ModuleType:
    """./dev as a module."""
    loader = importlib.machinery.SourceFileLoader("dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec is not None
    dev = importlib.util.module_from_spec(spec)
    loader.exec_module(dev)
    return dev


def test_old_pythons_can_read_it() -> None:
    tree = ast.parse((ROOT / "dev").read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, NEW_SYNTAX), f"line {node.lineno}"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            assert node.returns is None, node.name
            assert not node.args.kwonlyargs, node.name
            assert all(argument.annotation is None for argument in arguments), node.name
    assert (ROOT / "dev").read_bytes().isascii()  # Python 2 wants an encoding declared otherwise


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python older than 3.11 is installed")
def test_too_old_python_is_told_so_in_one_sentence() -> None:
    for python in OLD_PYTHONS:
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:  # some are stand-ins
            outcome = _dev("run", python=python)
            assert outcome.returncode == 1
            assert outcome.stderr.startswith("./dev: Python 3.11 or newer is needed, and ")
            assert len(outcome.stderr.splitlines()) == 1


def test_help_names_every_command(module: ModuleType) -> None:
    outcome = _dev("--help")
    assert outcome.returncode == 0
    assert all(f"./dev {command} " in outcome.stdout for command in module.COMMANDS)


def test_unknown_command_is_told_so_in_one_sentence(module: ModuleType) -> None:
    outcome = _dev("tset")
    assert outcome.returncode == 1
    commands = ", ".join(module.COMMANDS)
    assert outcome.stderr == f"./dev: unknown command 'tset': it is one of {commands} (./dev --help)\n"


def test_python_that_does_not_exist_is_told_so_in_one_sentence() -> None:
    outcome = _dev("run", PYTHON="python9")
    assert outcome.returncode == 1
    assert outcome.stderr == "./dev: PYTHON=python9 cannot be started: No such file or directory\n"


@pytest.mark.parametrize(
    ("rest", "program"),
    [
        ([], ["client/client.py"]),
        (["--count", "9"], ["client/client.py", "--count", "9"]),
        (["tasks", "--json"], ["-m", "client", "tasks", "--json"]),
    ],
)
def test_client_with_a_verb_is_the_command_line_and_else_the_demo(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, rest: list[str], program: list[str]
) -> None:
    monkeypatch.setattr(module, "prepare_environment", lambda files: "python")
    handed_over: list[list[str]] = []
    monkeypatch.setattr(module, "hand_over", lambda _, arguments, keep_directory: handed_over.append(arguments))
    module.main(["client", *rest])
    assert [word.removeprefix(f"{ROOT}/") for word in handed_over[0]] == program


def test_changed_requirements_are_installed_again_and_only_those(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    for content, is_installing in (("", True), ("", False), ("# changed\n", True)):
        with (tmp_path / "requirements.txt").open("a") as file:
            file.write(content)
        python = module.prepare_environment(["requirements.txt"])
        assert ("Installing 0 packages into .venv (once)" in capsys.readouterr().out) is is_installing
    outcome = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == str(tmp_path / ".venv")


def test_broken_environment_is_made_anew(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    (tmp_path / "requirements.txt").write_text("")
    python = Path(module.prepare_environment(["requirements.txt"]))
    python.unlink()
    python.symlink_to("/no/such/python")
    module.prepare_environment(["requirements.txt"])
    subprocess.run([python, "-c", ""], check=True)


def test_failed_installation_shows_what_pip_said(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    (tmp_path / "requirements.txt").write_text("this is no requirement\n")
    with pytest.raises(module.DevError, match="pip could not install the requirements"):
        module.prepare_environment(["requirements.txt"])
    assert "Invalid requirement" in capsys.readouterr().err


def test_requirements_name_versions_and_nothing_of_the_machine_that_made_them() -> None:
    for path in ROOT.glob("requirements*.txt"):
        pins = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin or "@" in pin] == []
