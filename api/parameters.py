"""Options of requests: each known, once, and in range, or 422 with the name of the offender."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from core.errors import FieldError, InvalidArgumentsError
from core.settings import Settings

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: RFC 3339, section 5.6, with the offset that it demands.
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_PARAMETER_LIMIT: Final = 100
_SHOWN_CHARS: Final = 64

#: What a submission may say about how to run the job.
OPTION_NAMES: Final = ("delay_s", "eta", "priority", "expires_s")
HIGHEST_PRIORITY: Final = 9

#: Makes the error for an option's name and what is wrong with it.
Refuse = Callable[[str, str], InvalidArgumentsError]


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to run a job: not before delay_s from now, or not before eta, which is None if it has passed.

    priority None is the task's own; a job that was not started expires_s after its acceptance is revoked. `asked` is what
    the client said, for the idempotency fingerprint: the same moment or delay is the same text.
    """

    delay_s: float = 0.0
    eta: datetime | None = None
    priority: int | None = None
    expires_s: float | None = None
    asked: Mapping[str, str] = field(default_factory=dict)


NO_OPTIONS: Final = SubmitOptions()


def expiry_limit_s(settings: Settings) -> float:
    """Return the longest expires_s: it must leave room after the longest delay."""
    return 2 * settings.delay_limit_s


def parse_submit_options(query: bytes, settings: Settings, now: datetime) -> SubmitOptions:
    """Return what a query string asks for. Raises InvalidArgumentsError."""
    return read_options(parse_query(query, OPTION_NAMES), settings, now, refuse_query)


def read_options(values: Mapping[str, str], settings: Settings, now: datetime, refuse: Refuse) -> SubmitOptions:
    """Return what the values (texts by OPTION_NAMES, wherever they stood) ask for. Raises what refuse makes."""
    if not values:
        return NO_OPTIONS
    asked: dict[str, str] = {}
    delay_s, eta, priority, expires_s = 0.0, None, None, None
    if "delay_s" in values and "eta" in values:
        raise refuse("eta", "cannot be combined with delay_s; send one of them")
    if "delay_s" in values:
        delay_s = _parse_seconds("delay_s", values["delay_s"], settings.delay_limit_s, refuse)
        asked |= {"delay_s": repr(delay_s)} if delay_s else {}
    if "eta" in values:
        eta = _parse_eta(values["eta"], settings.delay_limit_s, now, refuse)
        asked["eta"] = eta.isoformat()
    if "priority" in values:
        priority = _parse_priority(values["priority"], refuse)
        asked["priority"] = str(priority)
    if "expires_s" in values:
        expires_s = _parse_seconds("expires_s", values["expires_s"], expiry_limit_s(settings), refuse)
        start_s = delay_s if eta is None else max(0.0, (eta - now).total_seconds())
        if expires_s <= start_s:
            raise refuse("expires_s", f"must be after the job is due, which is {start_s:.15g} s from now")
        asked["expires_s"] = repr(expires_s)
    due = eta if eta is not None and eta > now else None
    return SubmitOptions(delay_s, due, priority, expires_s, asked)


def parse_wait_s(query: bytes, settings: Settings) -> float:
    """Return the seconds that ?wait=N asks for; 0 without it. Raises InvalidArgumentsError."""
    values = parse_query(query, ("wait",))
    return _parse_seconds("wait", values["wait"], settings.wait_limit_s, refuse_query) if values else 0.0


def parse_query(query: bytes, names: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a query string. Raises InvalidArgumentsError for an unknown or repeated one."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARAMETER_LIMIT)
    except ValueError:
        raise InvalidArgumentsError(f"more than {_PARAMETER_LIMIT} query parameters", []) from None
    values: dict[str, str] = {}
    known = f"known here: {', '.join(names)}" if names else "none is known here"
    for name, value in pairs:
        if name not in names:
            raise refuse_query(name[:_SHOWN_CHARS], f"is no query parameter; {known}")
        if name in values:
            raise refuse_query(name, "is given more than once")
        values[name] = value
    return values


def parse_moment(name: str, text: str, refuse: Refuse) -> datetime:
    """Return a point in time, in UTC. Raises what refuse makes."""
    if not _TIMESTAMP.fullmatch(text):
        raise refuse(
            name,
            "must be RFC 3339 with an offset, as in 2030-01-31T08:00:00Z or 2030-01-31T08:00:00%2B02:00"
            f" (a plus sign is %2B in a URL), not {text[:_SHOWN_CHARS]!r}",
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise refuse(name, f"is no point in time: {text[:_SHOWN_CHARS]!r}") from None


def refuse_query(name: str, message: str) -> InvalidArgumentsError:
    """Return the error for a query parameter."""
    return InvalidArgumentsError(
        f"query parameter {name!r} {message}", [FieldError(("query", name), message, "value_error")]
    )


def _parse_priority(text: str, refuse: Refuse) -> int:
    if len(text) != 1 or not "0" <= text <= str(HIGHEST_PRIORITY):
        raise refuse("priority", f"must be a whole number from 0 to {HIGHEST_PRIORITY}, not {text[:_SHOWN_CHARS]!r}")
    return int(text)


def _parse_seconds(name: str, text: str, limit_s: float, refuse: Refuse) -> float:
    if not _NUMBER.fullmatch(text):
        raise refuse(name, f"must be a number of seconds, as in {name}=2.5, not {text[:_SHOWN_CHARS]!r}")
    seconds = float(text)
    if not 0 <= seconds <= limit_s:
        raise refuse(name, f"must be from 0 to {limit_s:.15g} seconds")
    return seconds + 0.0  # -0 is 0


def _parse_eta(text: str, limit_s: float, now: datetime, refuse: Refuse) -> datetime:
    eta = parse_moment("eta", text, refuse)
    if eta - now > timedelta(seconds=limit_s):
        raise refuse("eta", f"must be within {limit_s:.15g} seconds from now")
    return eta
