"""The Celery app that registry, scheduler and worker share: names, limits, queues. It opens no connection."""

import socket
from typing import Any, Final

from celery import Celery
from celery.result import AsyncResult

from core import keepalive
from core.errors import TaskDefinitionError
from core.queues import DEFAULT_QUEUE, broker_queue, broker_queue_name
from core.settings import Settings
from core.task import ServiceTask, TaskRuntime, UnsupportedCallError

#: Options of apply_async that would need a group, chain or chord around the job.
_CANVAS_OPTIONS: Final = ("chain", "chord", "group_id", "link_error")


class ServiceApp(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery, except that sending a task inserts a job like the api does: there is one way to publish, the scheduler's."""

    settings: Settings
    #: Set in the worker's pool processes; elsewhere a task cannot be sent.
    runtime: TaskRuntime | None = None

    def _task_from_fun(self, fun: Any, name: str | None = None, base: type | None = None, **options: Any) -> Any:
        """Create a task; a base class of its own gets ServiceTask behind it, so that its own attributes win."""
        if base is not None and not issubclass(base, ServiceTask):
            base = type(base.__name__, (base, self.Task), {"__module__": base.__module__, "abstract": True})
        task = super()._task_from_fun(fun, name=name, base=base, **options)
        task.soft_time_limit, task.time_limit = self._time_limits(task)
        return task

    def _time_limits(self, task: Any) -> tuple[float | None, float]:
        """Return the soft and the hard limit, in seconds. A task that names one gets the other to fit.

        Celery starts the clock of the hard limit only when the soft one has passed: a soft limit beyond the hard one would
        switch it off. Hence the defaults are set on each task, not on the pool.
        """
        soft, hard = task.soft_time_limit, task.time_limit
        if soft is None and hard is None:
            return self.settings.soft_time_limit_s, self.settings.time_limit_s
        if hard is None:
            return soft, max(self.settings.time_limit_s, soft + 60.0)
        if soft is not None and soft >= hard:
            raise TaskDefinitionError(
                f"task {task.name!r}: soft_time_limit ({soft:g} s) must be smaller than time_limit ({hard:g} s)"
            )
        return soft, hard

    def send_task(
        self, name: str, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any
    ) -> AsyncResult:
        """Accept a job. Raises UnsupportedCallError outside a running task, or for canvas options."""
        for option in _CANVAS_OPTIONS:
            if options.get(option):
                raise UnsupportedCallError(
                    f"{name}: group, chain and chord are not supported ({option}); submit the steps with apply_async()"
                )
        if task_id is not None:
            raise UnsupportedCallError(f"{name}: task_id cannot be chosen; read it from the result of apply_async()")
        if self.runtime is None:
            raise UnsupportedCallError(f"{name}: only a running task can call tasks; from outside, POST to the api")
        accepted = self.runtime.submit(name, tuple(args or ()), dict(kwargs or {}), options)
        return AsyncResult(str(accepted), app=self)


def make_app(settings: Settings) -> ServiceApp:
    """Return an app configured from settings. No side effects: it is neither current nor finalized, and not connected."""
    task_class = type("Task", (ServiceTask,), {"abstract": True, "max_retries": settings.max_retries})
    app = ServiceApp("task_service", task_cls=task_class, set_as_current=False, broker=settings.broker_url)
    app.settings = settings
    app.conf.update(_configuration(settings))
    return app


def consume_from(app: ServiceApp, queues: tuple[str, ...]) -> None:
    """Let a worker of this app consume from these logical queues."""
    app.conf.task_queues = [broker_queue(queue, app.settings) for queue in queues]


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        # The row is the truth: acknowledge only after the outcome is in it, whatever the outcome.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,
        "task_reject_on_worker_lost": False,
        "task_default_queue": broker_queue_name(DEFAULT_QUEUE, settings),
        "task_create_missing_queues": False,
        "worker_prefetch_multiplier": settings.prefetch,
        "worker_concurrency": settings.worker_slots,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts_level": "INFO",
        # Remote control, events, gossip and mingle need queues of their own and time of the worker's main loop.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_disable_rate_limits": True,
        "worker_detect_quorum_queues": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "broker_heartbeat": 10,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # What a broker has against one channel must not end the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": _transport_options(settings),
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    if settings.broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    return {
        # kombu gives a message that is held longer to a second worker. Recovery is the rescue's work, not the broker's.
        "visibility_timeout": int(settings.time_limit_s + settings.drain_s) + 3600,
        # A worker waits for messages without a word: only the kernel notices that the broker is gone.
        "socket_keepalive": True,
        "socket_keepalive_options": {
            socket.TCP_KEEPIDLE: keepalive.IDLE_S,
            socket.TCP_KEEPINTVL: keepalive.INTERVAL_S,
            socket.TCP_KEEPCNT: keepalive.COUNT,
            socket.TCP_USER_TIMEOUT: keepalive.USER_TIMEOUT_MS,
        },
        "socket_connect_timeout": 5,
        # A server that is frozen keeps its connections: without this, an acknowledgement waits for it without end.
        "socket_timeout": 5,
        "health_check_interval": 10,
    }
