"""The FastAPI application: one route per task, the reads, health, documentation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Scope

from api import VERSION
from api.boundary import Boundary
from api.problems import error_response, http_response
from api.routes import Routes
from api.services import Services
from core.errors import TaskServiceError
from core.registry import Registry
from core.settings import Settings

_SUMMARY: Final = "Tasks behind HTTP: a POST is committed, run at least once, and its outcome recorded exactly once."


def create_app(settings: Settings, registry: Registry) -> FastAPI:
    """Return the application for the tasks of registry; its Services are in app.state.services. Opens no connection."""
    services = Services(settings)
    app = FastAPI(
        title="Task service",
        version=VERSION,
        description=_SUMMARY,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan_of(services),
    )
    app.state.services = services
    app.add_middleware(Boundary, allowed_hosts=settings.allowed_host_names)
    _add_error_handlers(app, registry)
    Routes(app, settings, registry, services).add_all()
    return app


def _lifespan_of(services: Services) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        await services.close()

    return lifespan


def _add_error_handlers(app: FastAPI, registry: Registry) -> None:
    async def render_error(request: Request, error: TaskServiceError) -> Response:
        return error_response(request.scope, error)

    async def render_http_error(request: Request, error: HTTPException) -> Response:
        return http_response(request.scope, error, registry, _allowed_methods(app, request.scope))

    app.exception_handler(TaskServiceError)(render_error)
    app.exception_handler(HTTPException)(render_http_error)


def _allowed_methods(app: FastAPI, scope: Scope) -> set[str]:
    """Return the methods of all routes that have the path which takes this request."""
    routes = [route for route in app.router.routes if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE]
    return {method for route in routes if route.path == routes[0].path for method in route.methods or ()}
