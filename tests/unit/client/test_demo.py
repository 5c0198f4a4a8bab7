"""`python client/client.py`, as a user runs it."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.fake_service import Answer, FakeService, Seen, problem

PROGRAM: Final = Path(__file__).resolve().parents[3] / "client/client.py"
LIMIT_S: Final = 60


@pytest.fixture
def service(service: FakeService) -> FakeService:
    """A service that can do what the demo asks for."""
    service.functions.update(
        add=lambda args: args["x"] + args["y"],
        multiply=lambda args: args["x"] * args["y"],
        upper_case=lambda args: args["text"].upper(),
    )
    return service


def run(*arguments: str, program: Path = PROGRAM, **variables: str) -> "tuple[int, str, str]":
    """Return exit code, output and errors."""
    environment = {"PATH": os.environ["PATH"], **variables}
    outcome = subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
    )
    return outcome.returncode, outcome.stdout, outcome.stderr


def test_it_runs_150_jobs_50_of_each_task_and_says_how_fast(service: FakeService) -> None:
    code, output, errors = run("--url", service.url)
    assert (code, errors) == (0, "")
    tasks = [job["task"] for job in service.jobs.values()]
    assert [tasks.count(f"tasks.{name}") for name in ("add", "multiply", "upper_case")] == [50, 50, 50]
    *progress, verdict, latency = output.splitlines()
    assert progress == ["38 of 150 done", "75 of 150 done", "113 of 150 done", "150 of 150 done"]
    assert verdict.startswith("150 of 150 results are right; ")
    assert verdict.endswith(" jobs/s")
    assert "p50 " in latency
    assert "p99 " in latency


def test_one_copied_file_is_enough(service: FakeService, tmp_path: Path) -> None:
    copy = tmp_path / "copied.py"
    copy.write_bytes(PROGRAM.read_bytes())
    code, _, errors = run("--url", service.url, "--count", "3", program=copy)
    assert (code, errors) == (0, "")


def test_it_is_called_what_dev_says() -> None:
    code, _, errors = run("--count", "0", TASK_SERVICE_PROGRAM="./dev client")
    assert code == 2
    assert errors.splitlines()[-1] == "./dev client: error: --count is at least 1"


def test_wrong_result_is_shown_and_fails_it(service: FakeService) -> None:
    service.functions["multiply"] = lambda args: float(args["x"] * args["y"])
    code, output, _ = run("--url", service.url, "--count", "6")
    assert code == 1
    assert "multiply " in output
    assert "4 of 6 results are right" in output


def test_failed_job_fails_it_and_does_not_hang(service: FakeService) -> None:
    handle = service.handle
    failure = {"type": "ValueError", "message": "no such colour"}

    def fail(seen: Seen) -> Answer:
        answer = handle(seen)
        if seen.path.startswith("/status/"):
            answer.body.update(status="FAILURE", result=None, error=failure)
        return answer

    service.handle = fail  # type: ignore[method-assign]
    code, output, _ = run("--url", service.url, "--count", "3")
    assert code == 1
    assert "no such colour" in output
    assert "0 of 3 results are right" in output


def test_service_that_is_not_there_is_one_line_that_says_what_to_do() -> None:
    code, output, errors = run("--url", "http://127.0.0.1:9")
    assert (code, output) == (3, "")
    assert errors == (
        "client.py: cannot reach the task service at http://127.0.0.1:9 within 3 s: Connection refused."
        " Start the service with ./dev run, or say where it is with --url\n"
    )


def test_service_that_goes_away_is_told_once_before_the_end(service: FakeService) -> None:
    handle = service.handle

    def vanish(seen: Seen) -> Answer | None:
        return handle(seen) if len(service.seen) < 5 else None

    service.handle = vanish  # type: ignore[method-assign, assignment]
    arguments = [sys.executable, str(PROGRAM), "--url", service.url]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert process.stderr.readline() == f"{service.url} does not answer; trying for up to 60 s\n"
            assert process.poll() is None
        finally:
            process.kill()


def test_other_service_is_one_line(service: FakeService) -> None:
    service.script.append(problem(404, "not_found", "no such route"))
    code, _, errors = run("--url", service.url)
    assert code == 2
    assert len(errors.splitlines()) == 1


def test_python_without_requests_is_told_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "requests.py").write_text("raise ModuleNotFoundError(\"No module named 'requests'\", name='requests')\n")
    for program in ([str(PROGRAM)], ["-m", "client"]):
        outcome = subprocess.run(
            [sys.executable, *program],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            cwd=PROGRAM.parents[1],
            env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        )
        assert outcome.returncode == 2
        assert outcome.stderr.endswith(": this Python has no requests: type ./dev client, or first pip install requests\n")
        assert len(outcome.stderr.splitlines()) == 1


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_count_that_is_none_is_wrong_usage(count: str) -> None:
    code, _, errors = run("--count", count)
    assert code == 2
    assert "--count" in errors


def test_progress_bar_is_drawn_on_a_terminal(service: FakeService) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, str(PROGRAM), "--url", service.url, "--count", "9"], stdout=slave)
    os.close(slave)
    assert process.wait(LIMIT_S) == 0
    output = os.read(master, 65536).decode()
    os.close(master)
    assert "\r[" + "#" * 40 + "] 9/9" in output
