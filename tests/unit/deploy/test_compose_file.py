"""What can be said of the containers without starting them."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from core.settings import Settings
from deploy.credentials import BROKER, BROKER_USERS, DATABASE, DATABASE_USERS
from worker.drain import LEAVE_TIMEOUT_S

ROOT: Final = Path(__file__).resolve().parents[3]
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()


def test_worker_has_time_to_drain_before_it_is_killed() -> None:
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > SERVICES["worker"]["environment"]["DRAIN_S"] + 2 * LEAVE_TIMEOUT_S


def test_four_workers_are_started() -> None:
    assert SERVICES["worker"]["deploy"]["replicas"] == 4


@pytest.mark.parametrize("service", ["migrations", "api", "scheduler", "worker"])
def test_environment_names_settings_that_exist(service: str) -> None:
    names = {name.removesuffix("_FILE").lower() for name in SERVICES[service]["environment"] if name != "HEARTBEAT_FILE"}
    assert names <= set(Settings.model_fields)


def test_credentials_are_made_for_hosts_users_and_volumes_of_the_file() -> None:
    assert re.findall("@(.*):", DATABASE + "\n" + BROKER) == ["postgres", "rabbitmq"]
    assert DATABASE.endswith("/" + SERVICES["postgres"]["environment"]["POSTGRES_DB"])
    consumers = {volume.split(":")[1] for volume in SERVICES["credentials"]["volumes"]}
    assert consumers == {f"/credentials/{name}" for name in ("master", "postgres", "rabbitmq", *DATABASE_USERS)}
    assert set(BROKER_USERS) == {name for name in SERVICES if "BROKER_URL_FILE" in SERVICES[name].get("environment", {})}


def test_image_holds_every_package_that_a_container_runs() -> None:
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "scripts", "standalone", "tests"}
    assert kept == packages | {"requirements.txt", "requirements-client.txt"}


def test_build_needs_one_base_image_by_its_tag_and_nothing_else_from_a_registry() -> None:
    sources = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert set(sources) == {"python:3.13-slim"}
    assert not re.search(r"# *syntax=|@sha256:", DOCKERFILE)
