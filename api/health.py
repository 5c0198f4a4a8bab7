"""GET /healthz and GET /readyz."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request, Response
from psycopg import errors as pg

from api.parameters import parse_query
from api.problems import problem_response
from api.store import Connection, Store
from core.errors import StoreUnavailableError
from core.migrations import SCHEMA_REVISION
from core.migrations.compatibility import is_compatible
from core.queries import load_query

BEATS: Final = load_query("api", "beats")
REVISION: Final = load_query("api", "revision")

#: A submission that was refused so long ago says nothing any more.
RECENT_S: Final = 5.0

_HEADERS: Final = {"cache-control": "no-store"}


class HealthEndpoints:
    """Says whether this process lives, and whether the system as a whole can do its work."""

    def __init__(self, store: Store, accepting: Sequence[Store]) -> None:
        """Accepting: what jobs are accepted by. A database may answer and take nothing, as when its disk is full."""
        self._store = store
        self._accepting = accepting

    async def healthz(self, request: Request) -> Response:
        """Return 200: the process is alive."""
        parse_query(request.scope["query_string"], ())
        return Response(b'{"status":"alive"}', 200, _HEADERS, "application/json")

    async def readyz(self, request: Request) -> Response:
        """Return 200 when jobs are accepted and run; else 503 that says what is missing."""
        parse_query(request.scope["query_string"], ())
        checks = await self._check()
        faults = {name: check for name, check in checks.items() if not check["ok"]}
        if not faults:
            body = json.dumps({"status": "ready", "checks": checks}, separators=(",", ":"))
            return Response(body, 200, _HEADERS, "application/json")
        detail = "not ready: " + "; ".join(f"{name}: {check['detail']}" for name, check in faults.items())
        return problem_response(request.scope, 503, "not_ready", detail, {"Retry-After": "1"}, checks=checks)

    async def _check(self) -> dict[str, dict[str, Any]]:
        try:
            (revision, comment), beats = await self._store.run(_look)
        except StoreUnavailableError:
            unknown = _check_result(None, "", "unknown without the database")
            return {
                "database": _check_result(None, "", "out of reach"),
                "schema": unknown,
                "scheduler": unknown,
                "workers": unknown,
            }
        refusal = next((why for store in self._accepting if (why := store.refusal(RECENT_S))), None)
        return {
            "database": _check_result(refusal is None, "reachable", f"reachable, but takes no jobs: {refusal}"),
            "schema": _check_schema(revision, comment),
            "scheduler": _check_result(beats.get("scheduler"), f"{beats.get('scheduler')} alive", "no scheduler is alive"),
            "workers": _check_result(beats.get("worker"), f"{beats.get('worker')} alive", "no worker is alive"),
        }


def _check_result(is_good: object, good: str, bad: str) -> dict[str, Any]:
    return {"ok": bool(is_good), "detail": good if is_good else bad}


def _check_schema(revision: str | None, comment: str | None) -> dict[str, Any]:
    """Judge the revision. A newer one is well if it is made for this code too: an upgrade restarts one process at a time."""
    if revision is not None and revision > SCHEMA_REVISION:
        newer = f"revision {revision}, newer than the {SCHEMA_REVISION} of this version"
        return _check_result(is_compatible(revision, comment), newer, f"{newer}, which cannot work on it: upgrade this api")
    return _check_result(
        revision == SCHEMA_REVISION,
        f"revision {revision}",
        f"revision {revision}, this version needs {SCHEMA_REVISION}; run python -m core.migrations",
    )


async def _look(connection: Connection) -> tuple[tuple[str | None, str | None], Mapping[str, int]]:
    """Return the schema's revision with its comment, None if there is none, and the number of living instances by part."""
    try:
        cursor = await connection.execute(REVISION)
        row = await cursor.fetchone()
        cursor = await connection.execute(BEATS)
        return (row[0], row[1]) if row else (None, None), dict(await cursor.fetchall())
    except (pg.UndefinedTable, pg.UndefinedColumn):
        return (None, None), {}
