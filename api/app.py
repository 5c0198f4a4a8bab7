"""The FastAPI application: one route per task, the reads, health, documentation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api import VERSION
from api.boundary import Boundary
from api.documentation import DocumentationEndpoints
from api.health import HealthEndpoints
from api.jobs import JobEndpoints
from api.openapi import (
    READ_PROBLEMS,
    SUBMIT_PROBLEMS,
    TASK_ID_PARAMETER,
    TaskSchemas,
    accepted_response,
    problem_responses,
    submit_parameters,
    wait_parameter,
)
from api.problems import error_response, http_response
from api.schemas import AcceptedJob, Alive, JobDetail, JobStatus, Ready
from api.services import Services
from api.submitting import Submission, TaskRoute
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
    schemas = TaskSchemas()
    _add_tasks(app, settings, registry, services, schemas)
    _add_reads(app, settings, services)
    _add_health(app, services)
    _add_documentation(app, schemas)
    return app


def _lifespan_of(services: Services) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        await services.close()

    return lifespan


def _add_tasks(app: FastAPI, settings: Settings, registry: Registry, services: Services, schemas: TaskSchemas) -> None:
    for spec in registry.by_route.values():
        submission = Submission(spec, settings, services.writer, services.backlog)
        route = TaskRoute(
            f"/{spec.route}",
            submission.submit,
            methods=["POST"],
            status_code=202,
            response_model=None,
            name=spec.name,
            operation_id=f"submit_{spec.route}",
            tags=["tasks"],
            summary=spec.doc.partition("\n")[0] or spec.name,
            description=spec.doc or spec.name,
            responses={202: {"model": AcceptedJob, **accepted_response()}, **problem_responses(*SUBMIT_PROBLEMS)},
            openapi_extra={"parameters": submit_parameters(settings), "requestBody": schemas.request_body(spec)},
        )
        app.router.routes.append(route)


def _add_reads(app: FastAPI, settings: Settings, services: Services) -> None:
    jobs = JobEndpoints(settings, services.reader, services.watch)
    _add_get(
        app,
        "/status/{task_id}",
        jobs.status,
        JobStatus,
        tags=["jobs"],
        summary="Where a job stands",
        responses=problem_responses(*READ_PROBLEMS),
        openapi_extra={"parameters": [TASK_ID_PARAMETER, wait_parameter(settings)]},
    )
    _add_get(
        app,
        "/jobs/{task_id}",
        jobs.job,
        JobDetail,
        tags=["jobs"],
        summary="A job with its arguments and every attempt",
        responses=problem_responses(*READ_PROBLEMS),
        openapi_extra={"parameters": [TASK_ID_PARAMETER]},
    )


def _add_health(app: FastAPI, services: Services) -> None:
    health = HealthEndpoints(services.health_store)
    problems = problem_responses(400, 421, 422)
    _add_get(app, "/healthz", health.healthz, Alive, tags=["operation"], summary="The process is alive", responses=problems)
    _add_get(
        app,
        "/readyz",
        health.readyz,
        Ready,
        tags=["operation"],
        summary="Jobs are accepted and run; if not, what is missing",
        responses={**problems, **problem_responses(503)},
    )


def _add_documentation(app: FastAPI, schemas: TaskSchemas) -> None:
    documentation = DocumentationEndpoints(lambda: schemas.describe(app))
    for path, endpoint in (
        ("/", documentation.root),
        ("/docs", documentation.page),
        ("/docs/{name}", documentation.asset),
        ("/openapi.json", documentation.openapi),
    ):
        app.add_route(path, endpoint, methods=["GET"], include_in_schema=False)


def _add_get(
    app: FastAPI, path: str, endpoint: Callable[..., Any], model: type, responses: dict[int | str, Any], **options: Any
) -> None:
    app.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        response_model=None,
        operation_id=endpoint.__name__,
        responses={200: {"model": model}, **responses},
        **options,
    )


def _add_error_handlers(app: FastAPI, registry: Registry) -> None:
    async def render_error(request: Request, error: TaskServiceError) -> Response:
        return error_response(request.scope, error)

    async def render_http_error(request: Request, error: HTTPException) -> Response:
        return http_response(request.scope, error, registry)

    app.exception_handler(TaskServiceError)(render_error)
    app.exception_handler(HTTPException)(render_http_error)
