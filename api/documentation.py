"""GET /docs and GET /openapi.json, without anything from another host. The assets come with a package."""

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from core.errors import NotFoundError

_ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_CACHED: Final = {"cache-control": "public, max-age=3600", "x-content-type-options": "nosniff"}

#: Scripts, styles and requests of our own origin only; nobody may frame the page. Swagger UI sets styles inline.
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self';"
    " img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

#: Addresses are relative, so that the page also works behind a proxy that adds a prefix.
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Task service</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START: Final = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null
});
"""


class DocumentationEndpoints:
    """Serves the interactive documentation and the schema it shows."""

    def __init__(self, make_schema: Callable[[], dict[str, Any]]) -> None:
        self._make_schema = make_schema
        self._schema = b""

    async def root(self, _request: Request) -> Response:
        """Lead a browser to the documentation."""
        return RedirectResponse("/docs", 307)

    async def page(self, _request: Request) -> Response:
        """Return the page; it loads the assets and the schema."""
        return Response(_PAGE, 200, _PAGE_HEADERS, "text/html")

    async def asset(self, request: Request) -> Response:
        """Return one of the files that the page needs."""
        name = request.path_params["name"]
        if name == "start.js":
            return Response(_START, 200, _CACHED, "text/javascript")
        if name not in _ASSETS:
            raise NotFoundError("no such file; GET /docs shows the documentation")
        return Response(_read_asset(name), 200, _CACHED, _ASSETS[name])

    async def openapi(self, _request: Request) -> Response:
        """Return the OpenAPI schema; it is made once."""
        if not self._schema:
            self._schema = json.dumps(self._make_schema(), separators=(",", ":")).encode()
        return Response(self._schema, 200, {"cache-control": "no-cache"}, "application/json")


@lru_cache(maxsize=len(_ASSETS))
def _read_asset(name: str) -> bytes:
    return files("fastapi_offline").joinpath("static", name).read_bytes()
