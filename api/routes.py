"""Which endpoint answers where, and what the description says of it."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from api import operations
from api.batch_submitting import BatchSubmission
from api.catalogue import CatalogueEndpoints
from api.control import ControlEndpoints
from api.documentation import DocumentationEndpoints
from api.health import HealthEndpoints
from api.job_requests import JobRequestReader
from api.jobs import JobEndpoints
from api.listing import ListEndpoints
from api.named_submitting import NamedSubmission
from api.openapi import CONTROL_PROBLEMS, LIST_PROBLEMS, READ_PROBLEMS, SUBMIT_PROBLEMS, TaskSchemas, problem_responses
from api.schemas import Alive, JobDetail, JobPage, JobStatus, Ready, TaskCatalogue, TaskDetail
from api.services import Services
from api.streaming import StreamEndpoints
from api.submitting import OwnRoute, Submission, TaskRoute
from core.registry import Registry
from core.settings import Settings

Endpoint = Callable[..., Any]


class Routes:
    """Adds routes to an application."""

    def __init__(self, app: FastAPI, settings: Settings, registry: Registry, services: Services) -> None:
        self._app = app
        self._settings = settings
        self._registry = registry
        self._services = services
        self._schemas = TaskSchemas()

    def add_all(self) -> None:
        """Add all; the first that matches a path takes it."""
        self._add_tasks()
        self._add_submissions()
        self._add_reads()
        self._add_control()
        self._add_catalogue()
        self._add_health()
        self._add_documentation()

    def _add_tasks(self) -> None:
        options = operations.option_parameters(self._settings)
        for spec in self._registry.by_route.values():
            submission = Submission(spec, self._settings, self._services.intake)
            self._add_post(
                f"/{spec.route}",
                submission.submit,
                OwnRoute,
                name=spec.name,
                operation_id=f"submit_{spec.route}",
                tags=["tasks"],
                summary=spec.doc.partition("\n")[0] or spec.name,
                description=spec.doc or spec.name,
                responses={**operations.submit_responses(), **problem_responses(*SUBMIT_PROBLEMS)},
                openapi_extra={
                    "parameters": [operations.KEY, operations.prefer(self._settings), *options],
                    "requestBody": self._schemas.request_body(spec),
                },
            )

    def _add_submissions(self) -> None:
        services, settings = self._services, self._settings
        reader = JobRequestReader(self._registry, settings)
        job = self._schemas.job_request(self._registry, settings)
        example = operations.job_example(self._registry)
        self._add_post(
            "/jobs",
            NamedSubmission(reader, settings, services.intake).submit_job,
            TaskRoute,
            tags=["jobs"],
            summary="Submit a job of any task",
            responses={**operations.submit_responses(), **problem_responses(*SUBMIT_PROBLEMS)},
            openapi_extra={
                "parameters": [operations.KEY, operations.prefer(settings)],
                "requestBody": operations.body(job, example),
            },
        )
        self._add_post(
            "/jobs/batch",
            BatchSubmission(reader, settings, services.batch_writer, services.backlog).submit_batch,
            OwnRoute,
            tags=["jobs"],
            summary="Submit many jobs: all are accepted, or none",
            responses={**operations.batch_responses(), **problem_responses(*SUBMIT_PROBLEMS)},
            openapi_extra={"parameters": [operations.KEY], "requestBody": operations.batch_body(job, example, settings)},
        )

    def _add_reads(self) -> None:
        services, settings = self._services, self._settings
        jobs = JobEndpoints(settings, services.reader, services.watch)
        tagged = operations.tagged_responses()
        self._add_get(
            "/status/{task_id}",
            jobs.status,
            JobStatus,
            summary="Where a job stands",
            responses={**tagged, **problem_responses(*READ_PROBLEMS)},
            openapi_extra={"parameters": [operations.TASK_ID, operations.wait(settings), operations.IF_NONE_MATCH]},
        )
        self._add_get(
            "/jobs",
            ListEndpoints(self._registry, services.page_reader).jobs,
            JobPage,
            summary="Jobs, newest first, in pages",
            responses={**operations.list_responses(), **problem_responses(*LIST_PROBLEMS)},
            openapi_extra={"parameters": operations.list_parameters()},
        )
        self._add_get(
            "/jobs/{task_id}",
            jobs.job,
            JobDetail,
            summary="A job with its arguments and every attempt",
            responses={**tagged, **problem_responses(*READ_PROBLEMS)},
            openapi_extra={"parameters": [operations.TASK_ID, operations.IF_NONE_MATCH]},
        )
        self._add_get(
            "/jobs/{task_id}/events",
            StreamEndpoints(services.reader, services.watch).events,
            None,
            summary="Each change of a job, as it happens",
            responses={**operations.stream_responses(), **problem_responses(*READ_PROBLEMS)},
            openapi_extra={"parameters": [operations.TASK_ID, operations.LAST_EVENT_ID]},
        )

    def _add_control(self) -> None:
        services, settings = self._services, self._settings
        control = ControlEndpoints(self._registry, services.control_store, services.reader, services.intake)
        self._app.add_api_route(
            "/jobs/{task_id}/cancel",
            control.cancel,
            methods=["POST"],
            response_model=None,
            operation_id="cancel",
            tags=["jobs"],
            summary="Cancel a job",
            responses={**operations.cancel_responses(), **problem_responses(*CONTROL_PROBLEMS)},
            openapi_extra={"parameters": [operations.TASK_ID]},
        )
        self._app.add_api_route(
            "/jobs/{task_id}/retry",
            control.retry,
            methods=["POST"],
            response_model=None,
            status_code=202,
            operation_id="retry",
            tags=["jobs"],
            summary="Run a failed or revoked job again, as a new job",
            responses={**operations.submit_responses(), **problem_responses(*CONTROL_PROBLEMS)},
            openapi_extra={"parameters": [operations.TASK_ID, operations.KEY, operations.prefer(settings)]},
        )

    def _add_catalogue(self) -> None:
        catalogue = CatalogueEndpoints(self._registry)
        tagged = operations.tagged_responses()
        self._add_get(
            "/tasks",
            catalogue.tasks,
            TaskCatalogue,
            tag="tasks",
            summary="What can run, and what it takes",
            responses={**tagged, **problem_responses(400, 421, 422)},
            openapi_extra={"parameters": [operations.IF_NONE_MATCH]},
        )
        self._add_get(
            "/tasks/{name}",
            catalogue.task,
            TaskDetail,
            tag="tasks",
            summary="One task",
            responses={**tagged, **problem_responses(400, 404, 421, 422)},
            openapi_extra={"parameters": [operations.TASK_NAME, operations.IF_NONE_MATCH]},
        )

    def _add_health(self) -> None:
        health = HealthEndpoints(self._services.health_store, self._services.accepting_stores)
        problems = problem_responses(400, 421, 422)
        self._add_get("/healthz", health.healthz, Alive, tag="operation", summary="The process is alive", responses=problems)
        self._add_get(
            "/readyz",
            health.readyz,
            Ready,
            tag="operation",
            summary="Jobs are accepted and run; if not, what is missing",
            responses={**problems, **problem_responses(503)},
        )

    def _add_documentation(self) -> None:
        documentation = DocumentationEndpoints(lambda: self._schemas.describe(self._app))
        for path, endpoint in (
            ("/", documentation.root),
            ("/docs", documentation.page),
            ("/docs/{name}", documentation.asset),
            ("/openapi.json", documentation.openapi),
        ):
            self._app.add_route(path, endpoint, methods=["GET"], include_in_schema=False)

    def _add_post(self, path: str, endpoint: Endpoint, kind: type[TaskRoute], **options: Any) -> None:
        options = {"operation_id": endpoint.__name__, **options}
        route = kind(path, endpoint, methods=["POST"], status_code=202, response_model=None, **options)
        self._app.router.routes.append(route)

    def _add_get(
        self,
        path: str,
        endpoint: Endpoint,
        model: type | None,
        responses: dict[int | str, Any],
        tag: str = "jobs",
        **options: Any,
    ) -> None:
        good = {"model": model} if model is not None else {}
        self._app.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            response_model=None,
            operation_id=endpoint.__name__,
            tags=[tag],
            responses={**responses, 200: {**responses.get(200, {}), **good}},
            **options,
        )
