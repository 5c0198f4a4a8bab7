"""A reader who does what the documentation says: saves its tasks, types its commands, and compares what comes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import yaml

from core.settings import Settings
from tests.acceptance.pages import Block, Likeness, line_pattern, read_blocks
from tests.engines import wait_until
from tests.standalone_run import ROOT, StandaloneRun

#: What a clone needs to run.
PARTS: Final = ("api", "client", "core", "scheduler", "standalone", "tasks", "worker")
OUTPUTS: Final = frozenset({"json", "http", "text"})
SERVICE_ON_PAGES: Final = "localhost:8000"
PROJECT_ON_PAGES: Final = "~/shop-project"

#: Commands that are typed by no test here, and why.
NOT_TYPED: Final = {
    "git clone <this repository> task-service && cd task-service": "there is no address to clone from",
    "git pull": "the same",
    "./dev run": "the service that all pages share was started so; tests/acceptance/test_standalone.py types it",
    "./dev run --reload": "the same",
    "TASK_MODULES=tasks,shop PYTHONPATH=~/shop-project ./dev run": "the service that all pages share has this environment",
    "docker compose up --build -d --wait": "tests/compose types it where there is a Docker engine",
    "docker compose exec -T postgres pg_dump --format=custom tasks > tasks.dump": "the same",
    "docker image prune": "it asks, and is about more than this project",
}

_MODULE: Final = re.compile(r"# (?P<path>[\w/]+\.py)(?P<is_refused>, .+)?\n")
COMMAND_LIMIT_S: Final = 30.0
COMES_LIMIT_S: Final = 20.0


class Clone:
    """A clone of the repository with the tasks of the pages in it, and a project of the user's beside it."""

    def __init__(self, directory: Path, pages: Iterable[Path]) -> None:
        self.path: Final = directory / "clone"
        self.project_path: Final = directory / "shop-project"
        for part in PARTS:
            shutil.copytree(ROOT / part, self.path / part, ignore=shutil.ignore_patterns("__pycache__"))
        for block in (block for page in pages for block in read_blocks(page) if block.language == "python"):
            module = _MODULE.match(block.text)
            if module and not module["is_refused"]:
                root = self.path if module["path"].startswith("tasks/") else self.project_path
                save(root / module["path"], block.text)
        self.environment: Final = {
            "PYTHONPATH": os.pathsep.join([str(self.path), str(self.project_path)]),
            "TASK_MODULES": "tasks,shop",
            "RETRY_BASE_S": "0.1",  # the pages speak of five retries, and nobody waits 31 s for them
            "PREFETCH": "1",  # a page with a long task does not hold up the next one
        }


def save(path: Path, text: str) -> None:
    """Save a module; its directory becomes a package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(text)


class Reader:
    """Reads one page from top to bottom, beside a service that runs."""

    def __init__(self, clone: Clone, run: StandaloneRun, directory: Path) -> None:
        self._clone = clone
        self._run = run
        self._directory = directory
        self._likeness = Likeness()
        self._environment = {
            **os.environ,
            **clone.environment,
            **_urls_of(run),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "TASK_SERVICE_URL": run.url,
        }

    def read(self, page: Path) -> int:
        """Do what the blocks of a page say; return how many of them were tried or compared. Raises AssertionError."""
        blocks = read_blocks(page)
        shown: Block | None = None
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if block is shown:
                continue
            shown = after if after is not None and after.language in OUTPUTS else None
            self._do(block, shown)
        return len(blocks)

    def _do(self, block: Block, shown: Block | None) -> None:
        match block.language:
            case "python" if module := _MODULE.match(block.text):
                if module["is_refused"]:
                    self._see_refused(block, Path(module["path"]), shown)
            case "python":
                self._compare(block, shown, lambda: self._type([sys.executable, "-c", self._as_typed(block.text)]))
            case "sh":
                self._run_shell(block, shown)
            case "yaml":
                check_override(block)
            case _:
                raise AssertionError(f"{block.place}: nothing before it that it could be the output of")

    def _run_shell(self, block: Block, shown: Block | None) -> None:
        lines = block.text.splitlines()
        if any(line in NOT_TYPED for line in lines):
            assert all(line in NOT_TYPED for line in lines), f"{block.place}: only some of its lines are typed"
            self._find_in_log(shown, lambda: self._run.output)
        elif "python -m worker" in block.text:
            self._see_worker(block, shown)
        elif "python -m core.migrations" in block.text:
            output = self._type(["bash", "-ec", f"exec 2>&1\n{block.text}"])
            self._find_in_log(shown, lambda: output)
        else:
            command = self._as_typed(block.text).replace("./dev client", "python -m client")
            self._compare(block, shown, lambda: self._type(["bash", "-ec", command]))

    def _as_typed(self, text: str) -> str:
        host = self._run.url.removeprefix("http://")
        text = self._likeness.with_real_ids(text)
        return text.replace("http://127.0.0.1:8000", self._run.url).replace(SERVICE_ON_PAGES, host)

    def _type(self, command: list[str]) -> str:
        outcome = subprocess.run(
            command,
            cwd=self._clone.path,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert outcome.returncode == 0, f"{command[-1]}\n{outcome.stdout}\n{outcome.stderr}"
        return outcome.stdout

    def _compare(self, block: Block, shown: Block | None, type_: Callable[[], str]) -> None:
        """Type a command and compare; a question is asked again until the answer is the one that is shown."""
        is_question = block.language == "sh" and not re.search(r" -X | submit ", block.text)
        deadline = time.monotonic() + COMES_LIMIT_S
        while True:
            output = type_()
            differences = "" if shown is None else self._likeness.differences(shown, output)
            if not differences or not is_question or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert not differences, f"{block.place}:\n{block.text}\ngave\n{output}\nwhich differs: {differences}"

    def _find_in_log(self, shown: Block | None, read_log: Callable[[], str]) -> None:
        for line in [] if shown is None else shown.text.splitlines():
            assert line_pattern(line).search(read_log()), f"{shown and shown.place}: {line!r} is not in\n{read_log()}"

    def _see_refused(self, block: Block, path: Path, shown: Block | None) -> None:
        """Start an api with a module that it refuses: it ends with what the page shows."""
        assert shown is not None, f"{block.place}: it is refused, but how?"
        directory = self._directory / re.sub(r"\W", "-", block.place)
        save(directory / path, block.text)
        outcome = subprocess.run(
            [sys.executable, "-m", "api"],
            cwd=self._clone.path,
            env={
                **self._environment,
                "TASK_MODULES": path.parts[0],
                "PYTHONPATH": os.pathsep.join([str(self._clone.path), str(directory)]),
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert (outcome.returncode, outcome.stderr) == (78, shown.text), f"{block.place}: {outcome.stderr!r}"

    def _see_worker(self, block: Block, shown: Block | None) -> None:
        """Start a worker, wait for the line that the page shows, and stop it."""
        log = self._directory / "worker.log"
        with log.open("w") as output:
            worker = subprocess.Popen(
                ["bash", "-ec", re.sub(r"\bpython\b", "exec python", block.text)],
                cwd=self._clone.path,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        try:
            pattern = line_pattern("" if shown is None else shown.text)
            wait_until(lambda: pattern.search(log.read_text()) or worker.poll() is not None, COMES_LIMIT_S, block.place)
            assert pattern.search(log.read_text()), log.read_text()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(COMMAND_LIMIT_S) == 0, log.read_text()
        finally:
            worker.kill()
            worker.wait()


def _urls_of(run: StandaloneRun) -> dict[str, str]:
    """Return where the engines of a run are: from the environment of its api."""
    variables = Path(f"/proc/{run.pid_of('api')}/environ").read_text().split("\0")
    pairs = (variable.partition("=") for variable in variables)
    return {name: value for name, _, value in pairs if name in ("DATABASE_URL", "BROKER_URL")}


def check_override(block: Block) -> None:
    """Check that what a file for Compose overrides exists: services, and settings."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in yaml.safe_load(block.text)["services"].items():
        base = service.get("extends", {}).get("service", name)
        assert base in services, f"{block.place}: docker-compose.yml has no service {base}"
        unknown = set(_settings_in(service)) - {name.upper() for name in Settings.model_fields}
        assert not unknown, f"{block.place}: no settings: {unknown}"


def _settings_in(service: dict[str, dict[str, object]]) -> Iterator[str]:
    yield from service.get("environment", {})
