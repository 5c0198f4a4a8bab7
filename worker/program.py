"""The worker as a whole: Celery's worker with our consumer, requests, backend and heartbeat plugged in."""

import os
import socket
from random import Random
from typing import Any, Final
from uuid import uuid4

import structlog
from celery import signals
from celery.apps.worker import Worker

from core.celery_app import ServiceApp, consume_from, make_app
from core.events import Event
from core.registry import Registry, load_registry
from core.settings import Settings
from worker.acknowledgements import Acknowledgements
from worker.attempt_store import AttemptStore
from worker.connection import LazyConnection, PatientConnection
from worker.consumer import Consumer
from worker.drain import Drain
from worker.heartbeat import Heartbeat
from worker.holdings import Holdings
from worker.hung_loop import HungLoop
from worker.interruption import Interruption
from worker.late_writer import LateWriter
from worker.ledger import Ledger
from worker.loop_watch import LoopWatch
from worker.message_gate import RefusedMessages
from worker.parent_reports import ParentReports
from worker.pool import TaskPool
from worker.pool_process import PoolProcess, wanted_by
from worker.request import take_message
from worker.retrying import Retrying
from worker.slot import Slot
from worker.transports import use_tolerant_transports

PARENT_STATEMENT_TIMEOUT_S: Final = 3.0
POOL_STATEMENT_TIMEOUT_S: Final = 10.0

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    name = settings.worker_name or socket.gethostname()
    instance_id = f"{name}:{os.getpid()}:{uuid4().hex[:6]}"
    refused_messages = RefusedMessages()
    use_tolerant_transports(settings, refused_messages)
    app, registry = _load(settings)
    app.refused_messages = refused_messages
    queues = settings.worker_queue_names or registry.queues
    heartbeat = _plug_in_parent(app, settings, instance_id, queues)
    _plug_in_pool_process(app, registry, settings, instance_id)
    worker = ServiceWorker(
        app=app,
        drain=Drain(heartbeat, settings.drain_s),
        hostname=f"{name}@{socket.gethostname()}",
        pool_cls=TaskPool,
        loglevel=settings.log_level,
        quiet=True,
    )
    heartbeat.start()
    log.info(Event.WORKER_STARTED, instance=instance_id, slots=settings.worker_slots, queues=",".join(queues))
    try:
        worker.start()
    finally:
        worker.drain.leave()
    return int(worker.exitcode or 0)


class ServiceWorker(Worker):  # type: ignore[misc]  # Celery has no types
    """Celery's worker program, with our way to stop."""

    def on_before_init(self, drain: Drain, **options: Any) -> None:
        """Take what is ours, before Celery looks at its options."""
        self.drain = drain
        super().on_before_init(**options)

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """Stop in order; the main loop turns no more, on purpose."""
        self.app.loop_watch.let_off(works=False)
        super().stop(in_sighandler, exitcode)

    def install_platform_tweaks(self, worker: Any) -> None:  # noqa: ARG002  # Celery's signature
        """Install the signal handlers; Celery calls this when the pool's processes run."""
        self.drain.handle_signals()


def _load(settings: Settings) -> tuple[ServiceApp, Registry]:
    app = make_app(settings)
    registry = load_registry(app, settings)
    consume_from(app, settings.worker_queue_names or registry.queues)
    app.backend_cls = "worker.backend:OutcomeBackend"
    app.conf.worker_consumer = Consumer
    for task in app.tasks.values():
        task.Strategy = take_message
    return app, registry


def _plug_in_parent(app: ServiceApp, settings: Settings, instance_id: str, queues: tuple[str, ...]) -> Heartbeat:
    connection = LazyConnection(settings, instance_id, PARENT_STATEMENT_TIMEOUT_S)
    app.holdings = Holdings()
    app.acknowledgements = Acknowledgements(max(1, settings.worker_slots * settings.prefetch // 2))
    app.reports = ParentReports(settings, AttemptStore(connection, instance_id), Retrying(settings, Random()), app.tasks)
    app.recorder = app.reports
    app.loop_watch = LoopWatch()

    def slot_of(pid: int) -> Slot | None:
        slot: Slot | None = app.task_pool.slot_of(pid)  # Celery makes the pool later
        return slot

    def begin_no_more() -> None:
        app.task_pool.on_close()

    return Heartbeat(
        settings,
        instance_id,
        queues,
        connection=connection,
        holdings=app.holdings,
        reports=app.reports,
        interruption=Interruption(app.holdings, slot_of),
        hung_loop=HungLoop(app.loop_watch, app.holdings, app.reports, begin_no_more),
    )


def _plug_in_pool_process(app: ServiceApp, registry: Registry, settings: Settings, instance_id: str) -> None:
    def begin(**_: Any) -> None:
        """Run in each new pool process, after the fork: its own connection, its own random numbers."""
        connection = PatientConnection(settings, instance_id, POOL_STATEMENT_TIMEOUT_S)
        store = AttemptStore(connection, instance_id)
        late_writer = LateWriter(LazyConnection(settings, instance_id, POOL_STATEMENT_TIMEOUT_S), instance_id)
        ledger = Ledger(store, app.desk, wanted_by, late_writer)
        process = PoolProcess(store, registry, Retrying(settings, Random()), ledger)
        app.recorder = app.runtime = process
        app.log.redirect_stdouts(settings.log_level)
        for name in registry.specs:
            task = app.tasks[name]
            task.__trace__ = process.claiming(name, task.__trace__)

    signals.worker_process_init.connect(begin, weak=False)
