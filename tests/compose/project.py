"""A Compose project of its own: its own name, port, image tag and volumes, and nothing left of it afterwards."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.api_client import ApiClient
from tests.engines import wait_until
from tests.rabbitmq import free_ports

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = (ROOT / "docker-compose.yml", ROOT / "tests/compose/override.yml")

#: These run; the others have done their work when they have ended with 0.
SERVICES: Final = {"postgres": 1, "rabbitmq": 1, "api": 1, "scheduler": 1, "worker": 4}
ONE_SHOTS: Final = ("credentials", "migrations")

#: Nothing takes so long, not even on a machine that does much else.
COMMAND_LIMIT_S: Final = 300.0
HEALTH_LIMIT_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Container:
    """What `docker inspect` says of a container."""

    service: str
    details: dict[str, Any]

    @property
    def id(self) -> str:
        """The full identifier; its first twelve digits are the host's name inside."""
        return str(self.details["Id"])

    @property
    def is_healthy(self) -> bool:
        """It runs, and its health check says that it is well; a one-shot has ended well."""
        state = self.details["State"]
        if self.service in ONE_SHOTS:
            return bool(state["Status"] == "exited" and state["ExitCode"] == 0)
        return bool(state.get("Health", {}).get("Status") == "healthy")


class Project:
    """docker compose on the repository's file, under a name that nobody else uses."""

    def __init__(self) -> None:
        self.name: Final = f"task-test-{os.getpid()}"
        self.image: Final = f"{self.name}:test"
        (port,) = free_ports(1)
        self.client: Final = ApiClient(f"http://127.0.0.1:{port}")
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": os.pathsep.join(map(str, FILES)),
            "API_PORT": str(port),
            "TASK_SERVICE_IMAGE": self.image,
        }

    def compose(self, *arguments: str, text: str | None = None) -> str:
        """Run docker compose and return what it prints. Raises AssertionError with its words if it fails."""
        return self._run(["docker", "compose", *arguments], text=text)

    def docker(self, *arguments: str) -> str:
        """Run docker; otherwise as compose."""
        return self._run(["docker", *arguments])

    def shell(self, line: str, directory: Path) -> str:
        """Run a line as a user types it; its project is this one. Otherwise as compose."""
        return self._run(["bash", "-euc", line], directory)

    def run_python(self, service: str, program: str) -> str:
        """Run a program in a running container of a service, and return what it prints."""
        return self.compose("exec", "--no-TTY", service, "python", "-", text=program)

    def containers(self, *services: str) -> Sequence[Container]:
        """Return the containers of these services, or of all."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return [Container(details["Config"]["Labels"]["com.docker.compose.service"], details) for details in found]

    def wait_until_healthy(self) -> None:
        """Return when every service is, and the api says that the whole is ready."""
        wait_until(self._is_healthy, HEALTH_LIMIT_S, "every service is healthy", pause_s=0.3)  # a look starts two programs
        wait_until(self.client.is_ready, HEALTH_LIMIT_S, "the api is ready")

    def remove(self) -> None:
        """Remove containers, networks, volumes and images."""
        self.compose("--profile", "client", "down", "--volumes", "--remove-orphans", "--timeout", "5")
        self.docker("image", "rm", "--force", self.image, f"{self.image}-credentials")

    def image_sizes_mb(self) -> tuple[int, int]:
        """Return the size of the image, and what of it is not the base image's."""
        base = [line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")][-1]
        sizes = self.docker("image", "inspect", "--format", "{{.Size}}", self.image, base).split()
        size, base_size = (int(text) // 10**6 for text in sizes)
        return size, size - base_size

    def _is_healthy(self) -> bool:
        containers = self.containers(*SERVICES, *ONE_SHOTS)
        counts = {service: sum(found.service == service for found in containers) for service in SERVICES}
        return counts == SERVICES and all(container.is_healthy for container in containers)

    def _run(self, command: list[str], directory: Path = ROOT, text: str | None = None) -> str:
        outcome = subprocess.run(
            command,
            cwd=directory,
            env=self._environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert outcome.returncode == 0, f"{' '.join(command)}: {outcome.stdout[-2000:]}{outcome.stderr[-4000:]}"
        return outcome.stdout
