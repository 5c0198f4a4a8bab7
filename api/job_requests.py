"""Jobs as POST /jobs and POST /jobs/batch ask for them: a task by its name, its arguments, how to run it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from api.idempotency import check_key
from api.json_cutter import JsonCutter, OversizedError
from api.parameters import NO_OPTIONS, OPTION_NAMES, SubmitOptions, read_options
from api.submitting import make_job
from core.acceptance import NewJob
from core.errors import FieldError, InvalidArgumentsError, NotFoundError
from core.registry import Registry, TaskSpec
from core.settings import Settings
from core.strict_json import shorten

_MEMBERS: Final = ("task", "args", *OPTION_NAMES, "idempotency_key")
_NULL: Final = "null"
#: Options that are JSON numbers; the others are strings.
_NUMBERS: Final = frozenset({"delay_s", "priority", "expires_s"})


@dataclass(frozen=True, slots=True)
class AskedJob:
    """A job that may be accepted as it is. asked: its options, for the fingerprint of key."""

    job: NewJob
    key: str | None
    asked: Mapping[str, str]


class JobRequestReader:
    """Reads jobs out of bodies."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._specs: dict[str, TaskSpec] = {}

    def cutter(self, text: str) -> JsonCutter:
        """Return a cutter for a body; its parts are as long as arguments may be."""
        return JsonCutter(text, self._settings.body_limit_bytes)

    def make(self, members: Mapping[str, str], task_id: UUID, now: datetime) -> AskedJob:
        """Return the job that members, as cut_members gives them, ask for.

        Raises MalformedError, or InvalidArgumentsError whose locations begin with "body".
        """
        rest = dict(members)
        spec = self._find(rest.pop("task", _NULL))
        args = self._check_args(spec, rest.pop("args", "{}"))
        raw_key = rest.pop("idempotency_key", _NULL)
        key = None if raw_key == _NULL else _check_key(_text("idempotency_key", raw_key))
        options = self._read_options(rest, now) if rest else NO_OPTIONS
        return AskedJob(make_job(spec, task_id, args, options), key, options.asked)

    def _find(self, raw_name: str) -> TaskSpec:
        spec = self._specs.get(raw_name)
        if spec is not None:
            return spec
        if raw_name == _NULL:
            raise refuse_member("task", "is missing; GET /tasks lists all", "missing")
        name = _text("task", raw_name)
        try:
            spec = self._registry.find(name)
        except NotFoundError as error:
            raise InvalidArgumentsError(str(error), [FieldError(("body", "task"), str(error), "unknown_task")]) from None
        if len(self._specs) < 2 * len(self._registry.specs):
            self._specs[raw_name] = spec
        return spec

    def _check_args(self, spec: TaskSpec, args: str) -> str:
        if not args.startswith("{"):
            raise refuse_member("args", 'must be an object with the arguments by name, as in {"x": 2, "y": 3}')
        body = args.encode()
        if len(body) > self._settings.body_limit_bytes:
            raise refuse_member("args", f"is longer than {self._settings.body_limit_bytes} bytes", "too_long")
        try:
            return spec.signature.validate(body, self._settings)
        except InvalidArgumentsError as error:
            raise relocated(error, ("args",)) from None

    def _read_options(self, members: Mapping[str, str], now: datetime) -> SubmitOptions:
        for name in members:
            if name not in OPTION_NAMES:
                raise refuse_member(shorten(name), f"is not known here; known: {', '.join(_MEMBERS)}", "extra_forbidden")
        given = {name: raw for name, raw in members.items() if raw != _NULL}
        return read_options({name: _option(name, raw) for name, raw in given.items()}, self._settings, now, refuse_member)


def cut_members(cutter: JsonCutter) -> dict[str, str]:
    """Return the JSON texts of the members of the object where cutter stands, and leave it behind.

    Raises MalformedError, InvalidArgumentsError; cutter then stands anywhere.
    """
    if not cutter.enter("{"):
        refuse_malformed(cutter)
        message = 'must be an object, as in {"task": "add", "args": {"x": 2, "y": 3}}'
        raise InvalidArgumentsError(f"a job {message}", [FieldError(("body",), message, "object_type")])
    members: dict[str, str] = {}
    while (name := cutter.next_member()) is not None:
        if name in members:
            raise refuse_member(shorten(name), "is given more than once")
        try:
            members[name] = cutter.cut()
        except OversizedError:
            raise refuse_member(shorten(name), "is longer than the arguments of a job may be", "too_long") from None
    return members


def refuse_malformed(cutter: JsonCutter) -> None:
    """Raise MalformedError if what stands here, and is not what it should be, is not even JSON."""
    with suppress(OversizedError):
        cutter.cut()


def refuse_member(name: str, message: str, kind: str = "value_error") -> InvalidArgumentsError:
    """Return the error for a member of the body."""
    return InvalidArgumentsError(f"{name!r} {message}", [FieldError(("body", name), message, kind)])


def relocated(error: InvalidArgumentsError, place: tuple[str | int, ...], prefix: str = "") -> InvalidArgumentsError:
    """Return the error of a part of the body as one of the body: the part stands at place."""
    errors = [FieldError(("body", *place, *item.loc[1:]), item.message, item.type) for item in error.errors]
    return InvalidArgumentsError(f"{prefix}{error}", errors)


def _option(name: str, raw: str) -> str:
    if name not in _NUMBERS:
        return _text(name, raw)
    if not raw[0].isdigit() and raw[0] != "-":
        raise refuse_member(name, f"must be a number, not {shorten(raw)}")
    return raw


def _text(name: str, raw: str) -> str:
    if not raw.startswith('"'):
        raise refuse_member(name, f"must be a string, not {shorten(raw)}", "string_type")
    return str(json.loads(raw)) if "\\" in raw else raw[1:-1]


def _check_key(key: str) -> str:
    try:
        return check_key(key)
    except InvalidArgumentsError as error:
        raise refuse_member("idempotency_key", error.errors[0].message) from None
