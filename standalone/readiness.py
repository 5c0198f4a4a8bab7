"""Ask the api whether the whole system is ready."""

import http.client
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_LIMIT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What GET /readyz said."""

    is_ready: bool
    detail: str


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
