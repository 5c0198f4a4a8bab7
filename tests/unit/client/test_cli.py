"""The command line: verbs, arguments from the registry, exit codes, completion."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any, Final

import pytest

from client import completion
from client.arguments import choices, read_value
from client.cli import main
from tests.fake_service import Answer, FakeService, problem

ROOT: Final = Path(__file__).resolve().parents[3]
FAILURE: Final = {"type": "ValueError", "message": "no such \x1b[31mcolour"}
ADD: Final = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x", "y"],
}
PAINT: Final = {
    "type": "object",
    "$defs": {
        "Colour": {"enum": ["red", "green"], "type": "string"},
        "Picture": {
            "type": "object",
            "properties": {"url": {"type": "string"}, "width": {"type": "integer", "default": 3}},
            "required": ["url"],
        },
    },
    "properties": {
        "colour": {"$ref": "#/$defs/Colour"},
        "line_count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "is_wet": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"type": "number", "default": 1.5},
        "picture": {"$ref": "#/$defs/Picture"},
        "extra": {},
        "json": {"type": "string"},
    },
}


def task(route: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"tasks.{route}",
        "route": route,
        "queue": "default",
        "doc": f"Do {route}.\n\nMore.",
        "priority": 0,
        "max_attempts": 6,
        "soft_time_limit_s": 600.0,
        "time_limit_s": 660.0,
        "schema": schema,
    }


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; give exit code, output, errors."""
    service.tasks = [task("add", ADD), task("paint", PAINT)]
    monkeypatch.setenv("TASK_SERVICE_URL", service.url)
    monkeypatch.setattr(sys, "argv", ["task-service"])
    monkeypatch.setenv("COLUMNS", "200")

    def run_command(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def load_dev() -> Any:
    loader = SourceFileLoader("dev", str(ROOT / "dev"))
    spec = spec_from_loader("dev", loader)
    assert spec is not None
    dev = module_from_spec(spec)
    loader.exec_module(dev)
    return dev


def accepted(service: FakeService) -> Any:
    return service.seen[-1].json


# submit


@pytest.mark.parametrize(
    "words",
    [
        ["--x", "2", "--y", "-3"],
        ["--x=2", "--y=-3"],
        ['{"x": 2, "y": -3}'],
        ['{"x": 2, "y": 7}', "--y", "-3"],
        ["--y", "-3", '{"x": 2}'],
    ],
)
def test_arguments_are_given_one_by_one_or_as_json(run: Run, service: FakeService, words: list[str]) -> None:
    code, output, errors = run("submit", "add", *words)
    assert (code, errors) == (0, "")
    assert output.strip() in service.jobs
    assert accepted(service) == {"x": 2, "y": -3}


def test_arguments_come_from_standard_input(run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"x": 2, "y": 3}'))
    assert run("submit", "add", "-")[0] == 0
    assert accepted(service) == {"x": 2, "y": 3}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("colour", "red", "red"),
        ("line_count", "7" * 1000, int("7" * 1000)),
        ("line_count", "null", None),
        ("note", "5", "5"),
        ("note", "null", None),
        ("is_wet", "true", True),
        ("tags", '["a"]', ["a"]),
        ("size", "-0.0", -0.0),
        ("extra", "5", 5),
        ("extra", "five", "five"),
    ],
)
def test_text_becomes_what_the_schema_says(run: Run, service: FakeService, name: str, text: str, value: Any) -> None:
    assert run("submit", "paint", f"--{name}={text}")[0] == 0
    assert accepted(service) == {name: value}
    assert repr(accepted(service)[name]) == repr(value)


def test_dashes_stand_for_underscores(run: Run, service: FakeService) -> None:
    assert run("submit", "paint", "--line-count", "2", "--is_wet", "false")[0] == 0
    assert accepted(service) == {"line_count": 2, "is_wet": False}


def test_parameter_whose_option_is_taken_is_given_as_json(run: Run, service: FakeService) -> None:
    code, output, _ = run("submit", "paint", '{"json": "x"}', "--json")
    assert code == 0
    assert accepted(service) == {"json": "x"}
    assert json.loads(output)["task_id"] in service.jobs


def test_options_of_the_job_travel_beside_the_arguments(run: Run, service: FakeService) -> None:
    words = ["--priority", "9", "--delay", "5", "--expires", "60", "--key", "k 1", "--eta", "2030-01-31T08:00+02:00"]
    assert run("submit", *words[:4], "add", "--x", "2", "--y", "3", *words[4:])[0] == 0
    (seen,) = (seen for seen in service.seen if seen.method == "POST")
    assert seen.query == {"priority": "9", "delay_s": "5.0", "expires_s": "60.0", "eta": "2030-01-31T08:00:00+02:00"}
    assert seen.headers["idempotency-key"] == "k 1"


def test_help_of_a_task_shows_its_parameters(run: Run) -> None:
    code, output, _ = run("submit", "paint", "--help")
    assert code == 0
    assert "--line_count INTEGER|null" in output
    assert "--colour red|green" in output
    assert "Do paint." in output
    assert "{url: TEXT, width: INTEGER (default: 3)}" in output
    assert "[TEXT, ...]" in output
    assert "--size NUMBER " in output
    assert "(default: 1.5)" in output


def test_help_lists_the_verbs_and_not_the_one_of_the_shells(run: Run) -> None:
    _, output, _ = run("--help")
    listed = [line.split()[0] for line in output.splitlines() if line.startswith("    ")]
    assert set(completion.VERBS) <= set(listed)
    assert "complete" not in output.split()
    assert "'complete'" not in run("stat")[2]


def test_program_is_called_what_dev_says(service: FakeService) -> None:
    def called(*words: str) -> str:
        environment = {**os.environ, "TASK_SERVICE_PROGRAM": "./dev client", "TASK_SERVICE_URL": service.url}
        command = [sys.executable, "-m", "client", *words]
        outcome = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
        return outcome.stdout + outcome.stderr

    assert called("status", "0199") == "./dev client: no job (404 not_found)\n"
    output = called("--help")
    assert "usage: ./dev client [-h]" in output
    assert "./dev client status TASK_ID" in output
    assert "Without a verb: the demo" in output


@pytest.mark.parametrize(
    ("words", "is_demo"),
    [
        ([], True),
        (["--url", "x"], True),
        (["--url=x", "--count", "2"], True),
        (["--count", "2", "--help"], True),
        (["--url", "x", "list"], False),
        (["--json", "list"], False),
        (["--help"], False),
        (["submit", "add", "--count", "2"], False),
    ],
)
def test_dev_tells_a_verb_behind_options_from_the_demo(words: list[str], is_demo: bool) -> None:
    assert load_dev().is_demo(words) is is_demo


@pytest.mark.parametrize("program", [["-m", "client", "list"], [str(ROOT / "client/client.py")]])
def test_dev_passes_the_name_it_was_called_by(monkeypatch: pytest.MonkeyPatch, program: list[str]) -> None:
    dev = load_dev()
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(sys, "argv", ["./dev"])
    monkeypatch.setattr(os, "execve", lambda _path, _words, environment: environments.append(environment))
    dev.hand_over(sys.executable, program, keep_directory=True)
    dev.hand_over(sys.executable, ["-m", "standalone"], keep_directory=True)
    assert [environment.get("TASK_SERVICE_PROGRAM") for environment in environments] == ["./dev client", None]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", "--x", "two"], "argument --x: must be integer, not 'two'"),
        (["add", "--z", "2"], "unrecognized arguments: --z"),
        (["add", "{x: 2}"], "the arguments are no JSON"),
        (["add", "[2]"], "the arguments are no JSON object"),
        (["ad"], "unknown task 'ad'"),
        (["paint", "--size", "NaN"], "argument size: NaN and Infinity are not JSON; give a finite number"),
        (["paint", '{"size": 1e999}'], "argument size: NaN and Infinity are not JSON"),
        (
            ["paint", "--picture", "{url}"],
            "argument --picture: must be JSON, object, and '{url}' is not: Expecting property",
        ),
        (["paint", "--picture", "{url}"], """at character 2; valid is '{"url": "text"}'"""),
        (["paint", "--tags", "a"], """valid is '["text"]'"""),
    ],
)
def test_wrong_argument_is_refused_with_its_name(run: Run, service: FakeService, words: list[str], told: str) -> None:
    code, output, errors = run("submit", *words)
    assert (code, output) == (2, "")
    assert told in errors
    assert not service.jobs


def test_result_is_printed_as_json_when_waited_for(run: Run, service: FakeService) -> None:
    service.functions["add"] = lambda args: str(args["x"] + args["y"])
    assert run("submit", "add", "--x", "2", "--y", "3", "--wait") == (0, '"5"\n', "")


# The other verbs and the exit codes


def test_failed_job_that_was_waited_for_is_exit_code_1(run: Run, service: FakeService) -> None:
    task_id = service.add_job(status="FAILURE", error=FAILURE)
    code, output, _ = run("watch", task_id)
    assert code == 1
    assert "ValueError: no such \N{REPLACEMENT CHARACTER}[31mcolour" in output
    service.script.append(Answer(202, {"task_id": task_id, "status": "PENDING"}))
    code, output, errors = run("retry", task_id, "--wait", "5")
    assert (code, output) == (1, "")
    assert "is FAILURE after 1 attempts: ValueError" in errors


def test_status_is_answered_also_for_a_failed_job(run: Run, service: FakeService) -> None:
    code, output, _ = run("status", service.add_job(status="FAILURE", error=FAILURE))
    assert code == 0
    assert "FAILURE" in output
    assert "\x1b" not in output


def test_status_as_json_is_the_whole_status(run: Run, service: FakeService) -> None:
    task_id = service.add_job(result={"a": 10**40})
    _, output, _ = run("--json", "status", task_id)
    assert json.loads(output)["result"] == {"a": 10**40}
    assert json.loads(output).keys() >= service.jobs[task_id].keys()


def test_unknown_job_is_exit_code_2(run: Run) -> None:
    assert run("status", "0199") == (2, "", "task-service: no job (404 not_found)\n")


def test_service_out_of_reach_is_exit_code_3(run: Run) -> None:
    code, _, errors = run("tasks", "--url", "http://127.0.0.1:9", "--timeout", "0.2")
    assert code == 3
    assert "Connection refused. Start the service with ./dev run, or say where it is with --url" in errors


def test_other_server_is_answered_with_what_to_do(run: Run, service: FakeService) -> None:
    service.script.append(Answer(404, b"<html>"))
    code, _, errors = run("list")
    assert code == 2
    assert "(404 not_understood). Start the service with ./dev run, or say where it is with --url" in errors


def test_job_that_takes_too_long_is_exit_code_4(run: Run, service: FakeService) -> None:
    service.script.append(Answer(200, service.tasks[0]))
    task_id = service.add_job(status="STARTED", finished_at=None)
    service.script.append(Answer(202, {"task_id": task_id, "status": "PENDING"}))
    code, _, errors = run("submit", "add", "--wait", "0.2")
    assert code == 4
    assert "is still STARTED" in errors


@pytest.mark.parametrize("words", [[], ["submit"], ["list", "--status", "done"], ["list", "--limit", "0"], ["stat"]])
def test_wrong_usage_is_exit_code_2(run: Run, words: list[str]) -> None:
    assert run(*words)[0] == 2


def test_refused_cancel_is_exit_code_2(run: Run, service: FakeService) -> None:
    task_id = service.add_job()
    service.script.append(problem(409, "conflict", "it has finished"))
    assert run("cancel", task_id) == (2, "", "task-service: it has finished (409 conflict)\n")


@pytest.mark.parametrize("words", [["cancel"], ["--json", "cancel"]])
def test_cancel_of_a_running_job_says_how_to_see_its_end(run: Run, service: FakeService, words: list[str]) -> None:
    task_id = service.add_job(status="STARTED", finished_at=None)
    service.script.append(Answer(202, {"task_id": task_id, "status": "STARTED"}))
    code, output, errors = run(*words, task_id)
    assert (code, errors) == (0, f"asked to stop; task-service watch {task_id} shows its end\n")
    assert "STARTED" in output


def test_cancelled_job_is_not_watched(run: Run, service: FakeService) -> None:
    task_id = service.add_job(status="REVOKED")
    service.script.append(Answer(202, {"task_id": task_id, "status": "REVOKED"}))
    assert run("cancel", task_id)[2] == ""


def test_tasks_are_listed_with_their_parameters(run: Run) -> None:
    _, output, _ = run("tasks")
    assert output.splitlines()[0] == f"{'add(x, y)':<40}  Do add."
    assert "[colour]" in output


def test_jobs_are_listed_up_to_the_limit(run: Run, service: FakeService) -> None:
    jobs = [service.jobs[service.add_job(result=n)] for n in range(3)]
    service.script.append(Answer(200, {"jobs": jobs, "next": None}))
    code, output, errors = run("list", "--status", "success", "--task", "add", "--limit", "2")
    assert (code, errors) == (0, "there are more: --limit N, --before TIME\n")
    assert [line.split()[0] for line in output.splitlines()] == [job["task_id"] for job in jobs[:2]]
    assert [line.split()[-1] for line in output.splitlines()] == ["0", "1"]
    assert service.seen[0].query == {"status": "SUCCESS", "task": "add", "limit": "3"}


def test_list_without_a_job_says_so(run: Run, service: FakeService) -> None:
    service.script.append(Answer(200, {"jobs": [], "next": None}))
    assert run("list") == (0, "", "no jobs\n")


def test_list_of_all_jobs_says_nothing_more(run: Run, service: FakeService) -> None:
    service.script.append(Answer(200, {"jobs": [service.jobs[service.add_job()]], "next": None}))
    assert run("list", "--limit", "1")[2] == ""


def test_reader_that_closes_the_pipe_sees_no_traceback(service: FakeService) -> None:
    task_id = service.add_job(result="x" * 1_000_000)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TASK_SERVICE_URL": service.url}
    command = f"{sys.executable} -m client status {task_id} --json | head -c 1"
    outcome = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert (outcome.stdout, outcome.stderr) == ("{", "")


# Schemas and completion


def test_choices_follow_references_and_alternatives() -> None:
    schema = {"$defs": {"A": {"const": "a"}, "B": {"enum": [1, None]}}}
    part = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"type": "boolean"}]}
    assert choices(part, schema) == ["a", "1", "null", "true", "false"]
    assert read_value("1", part, schema) == 1


def test_schema_that_refers_to_itself_ends() -> None:
    schema = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "string"}]}}}
    assert choices({"$ref": "#/$defs/A"}, schema) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["su"], {"submit"}),
        (["submit", ""], {"add", "paint"}),
        (["submit", "p"], {"paint"}),
        (["submit", "add", "--x", "2", "--y"], {"--y"}),
        (["submit", "add", "--x", "2", "--x"], set()),
        (["submit", "paint", "--colour", ""], {"red", "green"}),
        (["submit", "paint", "--is_wet", "t"], {"true"}),
        (["list", "--status", "S"], {"STARTED", "SUCCESS"}),
        (["list", "--task", ""], {"add", "paint"}),
        (["completion", ""], {"bash", "zsh"}),
        (["retry", "--w"], {"--wait"}),
        (["--json", "--timeout", "2", "sub"], {"submit"}),
        (["--json", "submit", "a"], {"add"}),
    ],
)
def test_last_word_is_completed(run: Run, words: list[str], found: set[str]) -> None:
    code, output, _ = run("complete", "--", *words)
    assert code == 0
    assert set(output.split()) == found


def test_ids_of_jobs_that_the_verb_is_for_are_completed(run: Run, service: FakeService) -> None:
    failed = service.jobs[service.add_job(status="FAILURE", error=FAILURE)]
    fine = service.jobs[service.add_job()]
    service.script.append(Answer(200, {"jobs": [failed, fine], "next": None}))
    assert run("complete", "--", "retry", "")[1].split()[0] == failed["task_id"]


def test_completion_is_silent_without_the_service(run: Run) -> None:
    assert run("--url", "http://127.0.0.1:9", "complete", "--", "submit", "") == (0, "", "")


def test_bash_completes_with_the_printed_script(service: FakeService, tmp_path: Path) -> None:
    service.tasks = [task("add", ADD), task("paint", PAINT)]
    program = tmp_path / "task-service"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m client "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(task-service completion bash)"; complete -p task-service;'
        " COMP_WORDS=(task-service submit paint --colour ''); COMP_CWORD=4; _task_service; echo ${COMPREPLY[@]}"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TASK_SERVICE_URL": service.url}
    outcome = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert outcome.stdout == "complete -F _task_service task-service\nred green\n"
