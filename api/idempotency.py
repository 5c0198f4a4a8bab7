"""Idempotency keys: the same key with the same request gives the same job, from any replica."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.store import Connection
from core.acceptance import ACCEPT, NewJob, accept_parameters
from core.errors import FieldError, IdempotencyMismatchError, InvalidArgumentsError
from core.queries import load_query
from core.strict_json import canonical

RESERVE_KEYS: Final = load_query("core", "reserve_keys")
FIND_KEYS: Final = load_query("core", "find_keys")

KEY_LIMIT_CHARS: Final = 255

#: Most rows of one statement: its parameters are put together in the event loop, in some milliseconds.
STATEMENT_ROWS: Final = 500

#: Who owns a key: (owner, key).
Name = tuple[str, str]
Place = tuple[str | int, ...]
IN_HEADER: Final[Place] = ("header", "Idempotency-Key")


@dataclass(frozen=True, slots=True)
class KeyedJob:
    """A job to accept unless an earlier request owns its key. place: where the key stood in the request."""

    job: NewJob
    key: str
    fingerprint: str
    place: Place = IN_HEADER

    @property
    def name(self) -> Name:
        """The key, as unique as the table holds it."""
        return self.job.owner, self.key


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job that a request stands for; replayed if an earlier request made it."""

    task_id: UUID
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The request that owns a key."""

    fingerprint: str
    task_id: UUID


def check_key(key: str) -> str:
    """Return the key. Raises InvalidArgumentsError unless it is 1 to 255 visible ASCII characters or spaces."""
    if 0 < len(key) <= KEY_LIMIT_CHARS and key.isascii() and key.isprintable():
        return key
    message = f"must be 1 to {KEY_LIMIT_CHARS} printable ASCII characters"
    raise InvalidArgumentsError(
        f"Idempotency-Key {message}", [FieldError(("header", "Idempotency-Key"), message, "value_error")]
    )


def fingerprint(task: str, args: str, options: Mapping[str, str]) -> str:
    """Return the SHA-256, in hexadecimal, of a request: its task, its arguments in canonical form, its options."""
    content = json.dumps([task, canonical(args), sorted(options.items())])
    return hashlib.sha256(content.encode("ascii")).hexdigest()


async def accept_keyed(
    connection: Connection, requests: Sequence[KeyedJob], ttl_s: float
) -> list[Accepted | IdempotencyMismatchError]:
    """Accept the jobs whose keys are free, in one transaction; return for each request its job or the mismatch.

    The first of several requests with one key stands for all of them. Safe to send again after a lost connection: a key
    that holds our own task_id is ours.
    """
    firsts: dict[Name, KeyedJob] = {}
    for request in requests:
        firsts.setdefault(request.name, request)
    async with connection.transaction():
        claims = await claim_keys(connection, firsts, ttl_s)
        await accept_new(
            connection, [first.job for name, first in firsts.items() if claims[name].task_id == first.job.task_id]
        )
    return [_answer(request, claims[request.name]) for request in requests]


async def accept_new(connection: Connection, jobs: Sequence[NewJob]) -> None:
    """Insert jobs that nobody else inserts."""
    for begin in range(0, len(jobs), STATEMENT_ROWS):
        await connection.execute(ACCEPT, accept_parameters(jobs[begin : begin + STATEMENT_ROWS]))


async def claim_keys(connection: Connection, firsts: Mapping[Name, KeyedJob], ttl_s: float) -> dict[Name, Claim]:
    """Return who owns each key; the free ones are ours from now on, if the transaction ends well."""
    claims: dict[Name, Claim] = {}
    names = sorted(firsts)
    for begin in range(0, len(names), STATEMENT_ROWS):
        while unsettled := [name for name in names[begin : begin + STATEMENT_ROWS] if name not in claims]:
            for name in await _reserve(connection, unsettled, firsts, ttl_s):
                claims[name] = Claim(firsts[name].fingerprint, firsts[name].job.task_id)
            # A key that expires between the two statements is in neither answer: it is free now, and the loop takes it.
            claims |= await _find(connection, [name for name in unsettled if name not in claims])
    return claims


def judge(request: KeyedJob, claim: Claim) -> Accepted:
    """Return the job of the key. Raises IdempotencyMismatchError if it is another request's."""
    if claim.fingerprint != request.fingerprint:
        raise IdempotencyMismatchError(
            f"Idempotency-Key {request.key!r} belongs to an earlier request with another task, arguments or options;"
            " use a new key for a new request",
            request.place,
        )
    return Accepted(claim.task_id, is_replayed=claim.task_id != request.job.task_id)


async def _reserve(
    connection: Connection, names: Collection[Name], firsts: Mapping[Name, KeyedJob], ttl_s: float
) -> list[Name]:
    cursor = await connection.execute(
        RESERVE_KEYS,
        {
            "owners": [owner for owner, _ in names],
            "keys": [key for _, key in names],
            "fingerprints": [firsts[name].fingerprint for name in names],
            "task_ids": [firsts[name].job.task_id for name in names],
            "ttl_s": ttl_s,
        },
    )
    return [(owner, key) for owner, key in await cursor.fetchall()]


async def _find(connection: Connection, names: Collection[Name]) -> dict[Name, Claim]:
    if not names:
        return {}
    cursor = await connection.execute(
        FIND_KEYS, {"owners": [owner for owner, _ in names], "keys": [key for _, key in names]}
    )
    return {(owner, key): Claim(found, task_id) for owner, key, found, task_id in await cursor.fetchall()}


def _answer(request: KeyedJob, claim: Claim) -> Accepted | IdempotencyMismatchError:
    try:
        return judge(request, claim)
    except IdempotencyMismatchError as error:
        return error.with_traceback(None)
