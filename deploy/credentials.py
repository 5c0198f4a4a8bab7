"""Make random credentials at the first start: `python -m deploy.credentials DIRECTORY`.

DIRECTORY has one subdirectory per consumer, each a volume that this consumer alone can read:

    master/      the passwords; mounted nowhere else
    postgres/    superuser-password, and roles.sql, which its image runs when it makes the database
    rabbitmq/    rabbitmq.conf, definitions.json: users, of their passwords only hashes
    migrations/, api/, scheduler/, worker/    database-url, and broker-url for the two that talk to the broker

Each run writes anew, from the passwords in master/, what is missing or has changed with a new version. Without those, there
are new ones, and roles.sql has to be run again.
"""

import hashlib
import json
import secrets
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent

DATABASE: Final = "postgresql://{user}:{password}@postgres:5432/tasks"
BROKER: Final = "amqp://{user}:{password}@rabbitmq:5672/tasks"
VHOST: Final = "tasks"

#: Roles in PostgreSQL and what roles.sql calls their passwords: the schema's owner, and the parts.
DATABASE_USERS: Final = ("migrations", "api", "scheduler", "worker")
#: As core/queues.py names them.
QUEUES: Final = r"^.+\.(classic|quorum)$"
NOTHING: Final = "^$"
#: What each user of RabbitMQ may do (https://www.rabbitmq.com/docs/access-control). Both declare the queues. The scheduler
#: publishes through the default exchange, which is called amq.default here. Celery's consumer binds its queues to an
#: exchange named after one of them, which takes the right to write to the queue and to read from the exchange.
BROKER_USERS: Final[Mapping[str, Mapping[str, str]]] = {
    "scheduler": {"configure": QUEUES, "write": r"^amq\.default$", "read": NOTHING},
    "worker": {"configure": QUEUES, "write": QUEUES, "read": QUEUES},
}


def main(arguments: list[str]) -> int:
    """Write all files; return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m deploy.credentials DIRECTORY", file=sys.stderr)
        return 64
    root = Path(arguments[0])
    passwords = _load_passwords(root / "master" / "passwords.json")
    written = [path for path, text in _files(passwords) if _write(root / path, text)]
    print(f"credentials: {len(written)} files written" if written else "credentials: unchanged")
    return 0


def _load_passwords(path: Path) -> dict[str, str]:
    """Return the password of each user, those of users that are new included."""
    passwords: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    names = ["postgres", *DATABASE_USERS, *(f"broker-{user}" for user in BROKER_USERS)]
    # Letters, digits, - and _: the same in a URL, in SQL and in JSON.
    passwords |= {name: secrets.token_urlsafe(24) for name in names if name not in passwords}
    _write(path, json.dumps(passwords))
    return passwords


def _files(passwords: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield path and content of each file, passwords first used where they are made known."""
    yield "postgres/superuser-password", passwords["postgres"]
    yield "postgres/roles.sql", _roles(passwords)
    yield "rabbitmq/rabbitmq.conf", (HERE / "rabbitmq.conf").read_text()
    yield "rabbitmq/definitions.json", json.dumps(_definitions(passwords), indent=1)
    for user in DATABASE_USERS:
        yield f"{user}/database-url", DATABASE.format(user=user, password=passwords[user])
    for user in BROKER_USERS:
        yield f"{user}/broker-url", BROKER.format(user=user, password=passwords[f"broker-{user}"])


def _roles(passwords: Mapping[str, str]) -> str:
    r"""Return roles.sql with its variables set; \set is psql's."""
    variables = [f"\\set {user}_password '{passwords[user]}'\n" for user in ("postgres", *DATABASE_USERS)]
    return "".join(variables) + (HERE / "roles.sql").read_text()


def _definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """Return what RabbitMQ imports at each start, so also after it has lost all its data. There is no guest among it."""
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            {
                "name": user,
                "password_hash": hash_password(passwords[f"broker-{user}"]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for user in BROKER_USERS
        ],
        "permissions": [{"user": user, "vhost": VHOST, **allowed} for user, allowed in BROKER_USERS.items()],
    }


def hash_password(password: str) -> str:
    """Return RabbitMQ's form of a password: Base64 of salt and SHA-256 of salt and password.

    The salt (4 bytes) is made from the password, so that the file stays the same from run to run; the passwords are random.
    https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = hashlib.sha256(b"salt of " + password.encode()).digest()[:4]
    return b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _write(path: Path, text: str) -> bool:
    """Write a file at once, so that nobody sees half of it; return whether that was necessary.

    Everybody may read it: who mounts the volume, and the users in the engines' images have ids of their own.
    """
    if path.exists() and path.read_text() == text:
        return False
    unfinished = path.with_name(f".{path.name}")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(0o644)
    unfinished.write_text(text)
    unfinished.chmod(0o444)
    unfinished.replace(path)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
