"""Ask the api whether the whole system is ready."""

import asyncio
import http.client
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from standalone.console import Console
from standalone.events import Event

_LIMIT_S: Final = 3.0
_POLL_S: Final = 0.1
#: After this long without readiness we say what is missing, and again each time.
_NOTICE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What GET /readyz said."""

    is_ready: bool
    detail: str


async def wait_for_readiness(host: str, port: int, console: Console) -> None:
    """Return when the whole system is ready; say from time to time what is missing."""
    notice = time.monotonic() + _NOTICE_S
    while not (answer := await asyncio.to_thread(ask_readiness, host, port)).is_ready:
        if time.monotonic() > notice:
            console.say(Event.START_DELAYED, f"not ready yet: {answer.detail}", detail=answer.detail)
            notice += _NOTICE_S
        await asyncio.sleep(_POLL_S)


def ask_readiness(host: str, port: int) -> Readiness:
    """Return what the api says of itself and the others; within 3 s."""
    connection = http.client.HTTPConnection(host, port, timeout=_LIMIT_S)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return Readiness(is_ready=False, detail=f"the api does not answer ({error})")
    finally:
        connection.close()
    return Readiness(is_ready=response.status == http.client.OK, detail=_explain(body))


def _explain(body: str) -> str:
    with suppress(ValueError, AttributeError):
        return str(json.loads(body).get("detail") or body)
    return body
