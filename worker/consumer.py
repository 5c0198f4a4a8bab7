"""Celery's consumer, cut down to what this service uses: a connection, a task consumer, the event loop."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final
from uuid import UUID

import structlog
from amqp.exceptions import AccessRefused
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.connection import Connection
from celery.worker.consumer.consumer import COLLECT_SOCKET_TIMEOUT, Evloop, bound_open_broker_sockets
from celery.worker.consumer.tasks import Tasks as CeleryTasks
from celery.worker.state import maybe_shutdown

from core.events import Event
from worker.loop_watch import TURN_S
from worker.message_gate import Fault, UnreadableMessageError, checked_headers
from worker.parent_reports import UnknownTask
from worker.queue_selection import QueueSelection

#: While the broker is away, it is tried so often; Celery's own pauses grow to 32 s.
RECONNECT_S: Final = 1.0

log = structlog.get_logger()


class Tasks(CeleryTasks):  # type: ignore[misc]  # Celery has no types
    """Consumes tasks with a prefetch limit per consumer, from the queues that the broker lets us have."""

    requires: ClassVar[tuple[type, ...]] = (Connection,)

    def start(self, c: Any) -> None:
        """Leave out a queue that the broker refuses: declaring it would end the consumer of all others, too."""
        c.queue_selection.leave_out(c.connection)
        super().start(c)

    def qos_global(self, c: Any) -> bool:  # noqa: ARG002  # Celery's signature
        """RabbitMQ 4.3 refuses a global prefetch limit, and quorum queues never knew one."""
        return False


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery has no types
    """No remote control, events, gossip or mingle: they need queues of their own and time of the main loop."""

    #: Without the Events step, nobody sets it.
    event_dispatcher = None

    _is_broker_lost = False
    _tries = 0
    _connected_at = 0.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue_selection = QueueSelection(self.app.amqp.queues)

    class Blueprint(bootsteps.Blueprint):  # type: ignore[misc]
        """The steps from the connection to the loop."""

        name = "Consumer"
        default_steps: ClassVar[list[type]] = [Connection, Tasks, Evloop]

        def shutdown(self, parent: Any) -> None:
            """Shut the steps down in order, as Celery's own blueprint does."""
            self.send_all(parent, "shutdown")

    def register_with_event_loop(self, hub: Any) -> None:
        """Get ready for the messages of a new connection."""
        self.app.acknowledgements.register_with_event_loop(hub)
        # By way of call_soon: of what a timer raises, the loop lets out only some.
        hub.call_repeatedly(TURN_S, hub.call_soon, self._turn)
        super().register_with_event_loop(hub)

    def on_ready(self) -> None:
        """Note that messages come from now on; Celery's signal follows, whose receivers may do anything."""
        if self._is_broker_lost:
            self._is_broker_lost = False
            log.info(Event.BROKER_RESTORED, broker=self.connection.as_uri(), tries=self._tries)
            self._tries = 0
        self._turn()
        super().on_ready()

    def _turn(self) -> None:
        """Do what the loop does once a second."""
        if state.should_stop is not None:
            return
        self.app.loop_watch.turn(works=bool(self.app.amqp.queues.consume_from))
        self.app.refused_messages.tell()
        for name in self.queue_selection.restored(self.connection):
            self.add_task_queue(name)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Let through what the scheduler sends, and nothing else of it."""
        handle = super().create_task_handler(*args, **options)

        def take(message: Any) -> None:
            try:
                message.headers = checked_headers(message.headers)
            except UnreadableMessageError as error:
                self._refuse(message, error.fault, error.example)
            else:
                message.properties = {}
                handle(message)

        return take

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Refuse what kombu cannot read."""
        self._refuse(message, Fault.FORM, exc)

    def _refuse(self, message: Any, fault: Fault, example: object) -> None:
        self.app.refused_messages.note(fault, example)
        message.ack()

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection when it stands, however long that takes.

        A broker that refuses our name and password is away, too: they may be about to be renewed.
        """
        watch = self.app.loop_watch
        # A single try may take long: a resolver, several addresses.
        watch.let_off(works=watch.works)

        def note(error: Exception, _pause_s: float) -> None:
            self._tries += 1
            self._note_broker_lost(error)

        while True:
            try:
                conn.ensure_connection(
                    note, interval_start=RECONNECT_S, interval_step=0, interval_max=RECONNECT_S, callback=maybe_shutdown
                )
                break
            except AccessRefused as error:
                note(error, RECONNECT_S)
                time.sleep(RECONNECT_S)
                maybe_shutdown()
        watch.turn(works=watch.works)
        self._connected_at = time.monotonic()
        return conn

    def connect(self) -> Any:
        """Connect. The connection is known from the beginning: it is closed even if it fails before its first use."""
        self.connection = self.connection_for_read(heartbeat=self.amqheartbeat)
        self.connection.transport.register_with_event_loop(self.connection.connection, self.hub)
        return self.connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what is left of the connection, within a few seconds, and say once that the broker is away.

        As Celery does it; but Celery adds nine lines about its next version.
        """
        self._note_broker_lost(exc)
        connection, self.connection = self.connection, None
        # It may be dead, and then its socket answers nothing.
        bound_open_broker_sockets(connection, COLLECT_SOCKET_TIMEOUT)
        with suppress(Exception):
            connection.collect(socket_timeout=COLLECT_SOCKET_TIMEOUT)
        with suppress(Exception):
            connection.close()
        if time.monotonic() - self._connected_at < RECONNECT_S:
            time.sleep(RECONNECT_S)  # it takes connections and refuses what we do with them

    def _note_broker_lost(self, error: Exception) -> None:
        """Say it once. A worker that waits for a broker is well."""
        self.app.loop_watch.let_off(works=True)
        if not self._is_broker_lost:
            self._is_broker_lost = True
            log.warning(Event.BROKER_LOST, error=str(error) or repr(error), retry_s=RECONNECT_S)

    def on_close(self) -> None:
        """Stop taking messages. Those that wait for a slot of a stopping worker are due again at once, for other workers."""
        if state.should_stop is not None:
            waiting = state.reserved_requests - state.active_requests
            self.app.reports.give_back([UUID(request.id) for request in waiting])
        super().on_close()

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002  # Celery's signature
        """A rolling deployment: other workers may know the task, so the job is due again later."""
        message.ack()
        headers = message.headers
        self.app.reports.postpone(UnknownTask(UUID(headers["id"]), headers["series"], headers["task"]))
