"""Query parameters: each known, once, and in range, or 422 with the name of the offender."""

import re
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How to run a job: not before delay_s from now, or not before eta, which is None if it has passed.

    `asked` is what the client said, for the idempotency fingerprint: the same moment or delay is the same text.
    """

    delay_s: float = 0.0
    eta: datetime | None = None
    asked: Mapping[str, str] = field(default_factory=dict)


NO_OPTIONS: Final = SubmitOptions()


def parse_submit_options(query: bytes, settings: Settings, now: datetime) -> SubmitOptions:
    """Return what delay_s or eta asks for. Raises InvalidArgumentsError."""
    values = parse_query(query, ("delay_s", "eta"))
    if len(values) == 2:
        raise _invalid("eta", "cannot be combined with delay_s; send one of them")
    if "delay_s" in values:
        delay_s = _parse_seconds("delay_s", values["delay_s"], settings.delay_limit_s)
        return SubmitOptions(delay_s=delay_s, asked={"delay_s": repr(delay_s)} if delay_s else {})
    if "eta" in values:
        eta = _parse_eta(values["eta"], settings.delay_limit_s, now)
        return SubmitOptions(eta=eta if eta > now else None, asked={"eta": eta.isoformat()})
    return NO_OPTIONS


def parse_wait_s(query: bytes, settings: Settings) -> float:
    """Return the seconds that ?wait=N asks for; 0 without it. Raises InvalidArgumentsError."""
    values = parse_query(query, ("wait",))
    return _parse_seconds("wait", values["wait"], settings.wait_limit_s) if values else 0.0


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
            raise _invalid(name[:_SHOWN_CHARS], f"is no query parameter; {known}")
        if name in values:
            raise _invalid(name, "is given more than once")
        values[name] = value
    return values


def _parse_seconds(name: str, text: str, limit_s: float) -> float:
    if not _NUMBER.fullmatch(text):
        raise _invalid(name, f"must be a number of seconds, as in {name}=2.5, not {text[:_SHOWN_CHARS]!r}")
    seconds = float(text)
    if not 0 <= seconds <= limit_s:
        raise _invalid(name, f"must be from 0 to {limit_s:.15g} seconds")
    return seconds + 0.0  # -0 is 0


def _parse_eta(text: str, limit_s: float, now: datetime) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise _invalid(
            "eta",
            "must be RFC 3339 with an offset, as in 2030-01-31T08:00:00Z or 2030-01-31T08:00:00%2B02:00"
            f" (a plus sign is %2B in a URL), not {text[:_SHOWN_CHARS]!r}",
        )
    try:
        eta = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid("eta", f"is no point in time: {text[:_SHOWN_CHARS]!r}") from None
    if eta - now > timedelta(seconds=limit_s):
        raise _invalid("eta", f"must be within {limit_s:.15g} seconds from now")
    return eta


def _invalid(name: str, message: str) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        f"query parameter {name!r} {message}", [FieldError(("query", name), message, "value_error")]
    )
