"""A private RabbitMQ node for tests, from Debian's package."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from standalone.leash import leashed
from tests.engines import STOP_LIMIT_S, EngineProcess, make_directory, wait_until

SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Virtual hosts that a node has from its start; more are made when these are used up.
VHOSTS: Final = 40
_RESERVATIONS: Final[list[socket.socket]] = []


class RabbitMQ:
    """A node of Debian's rabbitmq-server: own ports, own directory, own name, loopback only."""

    name: Final = "rabbitmq"
    stop_signal: Final = signal.SIGTERM

    def __init__(self, root: Path) -> None:
        self._root = root
        self.data_path: Final = root / "mnesia"
        self.log_path: Final = root / "rabbitmq.log"
        self.ports: Final = free_ports(3)
        self._port, self._distribution_port, self._epmd_port = self.ports
        self._node = f"test-{os.getpid()}-{self._port}@localhost"
        self._vhosts = [f"test-{number:03d}" for number in range(VHOSTS)]

    @property
    def url(self) -> str:
        """The default virtual host."""
        return self._vhost_url("/")

    def vhost_url(self, number: int) -> str:
        """Return the URL of a virtual host that only this number has; it outlives a wipe."""
        missing = range(len(self._vhosts), number + 1)
        if missing:
            self._vhosts += [f"test-{extra:03d}" for extra in range(missing.start, missing.start + VHOSTS)]
            self._write_definitions()
            self.control("import_definitions", str(self._root / "definitions.json"))
        return self._vhost_url(self._vhosts[number])

    def prepare(self) -> None:
        """Write the node's configuration."""
        self.data_path.mkdir(parents=True, exist_ok=True)
        self._write_definitions()
        (self._root / "plugins").write_text("[].")
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self._port}",
            "load_definitions": str(self._root / "definitions.json"),
            "log.console": "true",
            "log.console.level": "error",
            "log.file": "false",
        }
        (self._root / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))

    def command(self) -> list[str]:
        """Return the command line; with RABBITMQ_ALLOW_INPUT the script becomes the node, so the signals reach it."""
        return leashed(["/usr/bin/env", *self._environment(), str(SERVER)], signal.SIGKILL)

    def epmd_command(self) -> list[str]:
        """Return the command line of the name server: the node would start one that outlives it."""
        return leashed(
            [shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)], signal.SIGKILL
        )

    def is_named(self) -> bool:
        """Tell whether the name server answers."""
        return _accepts(self._epmd_port)

    def is_ready(self) -> bool:
        """Begin a connection: the node listens before it serves."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0) as client:
            client.settimeout(1.0)
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return len(client.recv(8)) > 0
        return False

    def repair(self) -> str | None:
        """Nothing."""
        return None

    def end_leftovers(self) -> None:
        """Nothing: the node is one process, which its starter has waited for."""

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node and return what it prints; takes a second or two."""
        command = ["/usr/bin/env", *self._environment(), str(SERVER.with_name("rabbitmqctl")), "-n", self._node]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout

    def _vhost_url(self, vhost: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/{'%2F' if vhost == '/' else vhost}"

    def _write_definitions(self) -> None:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        vhosts = ["/", *self._vhosts]
        definitions = {
            "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
            "vhosts": [{"name": vhost} for vhost in vhosts],
            "permissions": [{"user": "guest", "vhost": vhost, **everything} for vhost in vhosts],
        }
        (self._root / "definitions.json").write_text(json.dumps(definitions))

    def _environment(self) -> list[str]:
        variables = {
            "HOME": self._root,
            "ERL_EPMD_PORT": self._epmd_port,
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": self._distribution_port,
            "RABBITMQ_MNESIA_BASE": self.data_path,
            "RABBITMQ_LOG_BASE": self._root / "log",
            "RABBITMQ_CONFIG_FILE": self._root / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self._root / "plugins",
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            # Two schedulers that do not spin when idle: the processor is needed by the test.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            " +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        return [f"{name}={value}" for name, value in variables.items()]


class RabbitMQProcess(EngineProcess):
    """RabbitMQ with its name server."""

    engine: RabbitMQ

    def __init__(self, engine: RabbitMQ) -> None:
        super().__init__(engine)
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> set[int]:
        """The node and its name server."""
        return super().pids | ({self._epmd.pid} if self._epmd and self._epmd.poll() is None else set())

    def begin_start(self) -> None:
        """Start the name server, then the node."""
        self._epmd = subprocess.Popen(
            self.engine.epmd_command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        wait_until(self.engine.is_named, 10.0, "epmd answers")
        super().begin_start()

    def stop(self) -> None:
        """Stop the node, then the name server."""
        super().stop()
        self._end_epmd()

    def kill(self) -> None:
        """Kill the node and the name server."""
        super().kill()
        self._end_epmd()

    def _end_epmd(self) -> None:
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_LIMIT_S)


def private_rabbitmq(root: Path) -> RabbitMQProcess:
    """Return a RabbitMQ node below root, not yet started."""
    return RabbitMQProcess(RabbitMQ(make_directory(root)))


def is_rabbitmq_installed() -> bool:
    """Tell whether Debian's package is here."""
    return SERVER.exists()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that the kernel gives to outgoing connections.

    No other call gets them while this process lives, which has a socket of each one's name: they are used seconds later.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0task-test-port-{port}")
            with socket.socket() as candidate:
                candidate.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _RESERVATIONS.append(reservation)
        ports.append(port)
    return ports


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
