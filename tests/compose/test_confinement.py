"""Each container has what it needs, and no more."""

import json

import pytest

from tests.compose.project import Container, Project

pytestmark = pytest.mark.timeout(600)


def test_no_container_can_write_its_root_or_gain_a_privilege(project: Project) -> None:
    for container in project.containers():
        host = container.details["HostConfig"]
        assert host["ReadonlyRootfs"], container.service
        assert host["CapDrop"] == ["ALL"], container.service
        assert not host["CapAdd"], container.service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], container.service


def test_only_the_credentials_are_made_by_root_and_without_a_network(project: Project) -> None:
    roots = [found for found in project.containers() if found.details["Config"]["User"] in ("", "0", "root", "0:0")]
    assert [(found.service, found.details["HostConfig"]["NetworkMode"]) for found in roots] == [("credentials", "none")]


def test_only_the_api_is_published_and_on_this_machine_only(project: Project) -> None:
    published = {
        (container.service, binding["HostIp"])
        for container in project.containers()
        for bindings in container.details["HostConfig"]["PortBindings"].values()
        for binding in bindings
    }
    assert published == {("api", "127.0.0.1")}


def test_no_two_services_share_credentials(project: Project) -> None:
    readers: dict[str, set[str]] = {}
    for container in project.containers():
        for mount in container.details["Mounts"]:
            if "credentials" in mount.get("Name", "") and container.service != "credentials":
                assert not mount["RW"], container.service
                readers.setdefault(mount["Name"], set()).add(container.service)
    assert sorted(map(len, readers.values())) == [1] * 6


def test_passwords_stand_in_no_environment_command_line_or_log(project: Project) -> None:
    read = "from pathlib import Path\nfor path in Path('/run/credentials').iterdir(): print(path.read_text())"
    urls = "".join(project.run_python(service, read) for service in ("api", "scheduler", "worker")).split()
    passwords = {url.split("@")[0].rpartition(":")[2] for url in urls}
    assert len(passwords) == 5
    public = json.dumps([container.details for container in project.containers()])
    public += project.compose("config") + project.compose("logs", "--no-color")
    assert not [password for password in passwords if password in public]


def test_engines_are_out_of_reach_for_containers_elsewhere(project: Project) -> None:
    address = {found.service: _engines_address(project, found) for found in project.containers("postgres", "rabbitmq")}
    engines = [(address["postgres"], 5432), (address["rabbitmq"], 5672), (address["rabbitmq"], 15672)]
    program = f"""
import socket
for host, port in [("api", 8000), *{engines}]:
    try:
        socket.create_connection((host, port), 1).close()
        print(host)
    except OSError:
        pass
"""
    options = ("--rm", "--no-deps", "--no-TTY", "--entrypoint", "python")
    assert project.compose("run", *options, "client", "-c", program).split() == ["api"]


def test_engines_network_leads_nowhere(project: Project) -> None:
    (scheduler,) = project.containers("scheduler")
    (network,) = scheduler.details["NetworkSettings"]["Networks"]
    assert json.loads(project.docker("network", "inspect", network))[0]["Internal"] is True


@pytest.mark.parametrize("service", ["api", "scheduler", "worker"])
def test_part_can_change_no_table_of_the_database(project: Project, service: str) -> None:
    program = """
import psycopg
from core.settings import load_settings
with psycopg.connect(load_settings().database_url, autocommit=True) as connection:
    for statement in ("DROP TABLE jobs", "CREATE TABLE mine ()", "CREATE ROLE mine", "ALTER TABLE jobs ADD mine int"):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            print("refused")
"""
    assert project.run_python(service, program).split() == ["refused"] * 4


def test_broker_refuses_guest_and_what_later_versions_refuse(project: Project) -> None:
    program = """
import re
import amqp, kombu
from core.settings import load_settings
url = load_settings().broker_url
try:
    kombu.Connection(re.sub("//.*@", "//guest:guest@", url)).connect()
except amqp.exceptions.AccessRefused:
    print("guest")
with kombu.Connection(url) as connection:
    try:
        connection.channel().queue_declare("mine.classic", durable=False, exclusive=False)
    except amqp.exceptions.AMQPError as error:
        print("transient" if "deprecated" in str(error) else error)
with kombu.Connection(url) as connection:
    try:
        connection.channel().queue_declare("mine", durable=True)
    except amqp.exceptions.AccessRefused:
        print("foreign")
"""
    assert project.run_python("worker", program).split() == ["guest", "transient", "foreign"]
    assert "Its use is not permitted" not in project.compose("logs", "--no-color", "scheduler", "worker")


def _engines_address(project: Project, container: Container) -> str:
    return str(container.details["NetworkSettings"]["Networks"][f"{project.name}_engines"]["IPAddress"])
