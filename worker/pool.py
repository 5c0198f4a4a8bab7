"""The worker's pool of processes, in the form in which Celery wants one.

Celery's own prefork pool serves many settings and systems; for a short task it is two thirds of what a worker spends. This
one does what this service needs: a call goes to a process that waits for it, in one write, and its end comes back in one.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Final

import structlog
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import process_destructor, process_initializer
from celery.worker import state

from core.events import Event
from worker.slot import PARTING_LIMIT_S, Call, Slot

#: Pool processes that die one after the other before they are ready, until the worker gives up.
MAX_STILLBIRTHS: Final = 5

REFILL_PAUSE_S: Final = 1.0

#: While the running calls end, this often the broker hears from the worker.
STOPPING_INTERVAL_S: Final = 1.0

log = structlog.get_logger()


class TaskPool(BasePool):  # type: ignore[misc]  # Celery has no types
    """One process per slot. Celery's semaphore lets as many calls through as there are slots; more wait here."""

    uses_semaphore = True

    def on_start(self) -> None:
        """Fork the processes."""
        self._hub: Any = None
        self._calls: deque[Call] = deque()
        self._stillbirths = 0
        self._alarm_at: float | None = None
        self._slots: list[Slot] = []
        for index in range(self.limit):
            self._slots.append(self._fork(index))

    def register_with_event_loop(self, hub: Any) -> None:
        """Watch the processes; called for each connection to the broker, which clears the loop."""
        self._hub = hub
        for slot in self._slots:
            self._watch(slot)
        self._alarm_at = None
        self._set_alarm()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        _kwargs: Any,
        *,
        accept_callback: Callable[[int, float], None],
        callback: Callable[[Any], None],
        error_callback: Callable[[Any], None],
        timeout_callback: Callable[[bool, float], None],
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> None:
        """Run a call as soon as a slot is free."""
        if self._state != self.RUN:
            return  # the worker stops; the broker keeps the message
        call = Call(target, args, accept_callback, callback, error_callback, timeout_callback, soft_timeout, timeout)
        self._calls.append(call)
        self._start_calls()

    def flush(self) -> None:
        """Forget the calls that have not begun: their messages went with the connection."""
        self._calls.clear()

    def terminate_job(self, pid: int, number: Any = None) -> None:
        """Send a process a signal."""
        os.kill(pid, number)

    def on_stop(self) -> None:
        """Wait for the running calls, under their limits, then let the processes go."""
        hub, self._hub = self._hub, None
        self._calls.clear()
        while running := [slot for slot in self._slots if slot.call is not None]:
            deadlines = [deadline for slot in running if (deadline := slot.deadline()) is not None]
            limit_s = min(max(0.0, min(deadlines, default=math.inf) - time.monotonic()), STOPPING_INTERVAL_S)
            readable = wait([slot.stream.fileno() for slot in running], limit_s)
            for slot in running:
                if slot.stream.fileno() in readable:
                    self._read(slot)
            for slot in running:
                slot.enforce_limits()
            self._keep_connected(hub)
        self._dismiss(PARTING_LIMIT_S)
        self._keep_connected(None)

    def _keep_connected(self, hub: Any) -> None:
        """Do what Celery's loop did until the stop: heartbeats for the broker, and acknowledgements."""
        # The broker may be away; what is not acknowledged comes again and is dropped.
        with suppress(Exception):
            self.app.acknowledgements.flush()
            if hub is not None:
                hub.fire_timers()

    def on_terminate(self) -> None:
        """Let the processes go, whatever they do."""
        self._dismiss(0.0)

    def _dismiss(self, limit_s: float) -> None:
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.dismiss()
        deadline = time.monotonic() + limit_s
        for slot in slots:
            slot.wait(max(0.0, deadline - time.monotonic()))

    def _fork(self, index: int) -> Slot:
        initialize = partial(process_initializer, *self.options["initargs"])
        return Slot(index, initialize, process_destructor, self._slots, self.app.settings.memory_limit_mib)

    def _watch(self, slot: Slot) -> None:
        if self._hub is not None:
            self._hub.add_reader(slot.stream.fileno(), self._read, slot)

    def _read(self, slot: Slot) -> None:
        """Read what a process sent: that it is ready, how its call ended, or that it is gone."""
        if not slot.stream.read():
            self._replace(slot)
            return
        if not slot.stream.is_complete():
            return
        was_ready = slot.was_ready
        try:
            tell = slot.finish()
        except Exception:
            log.exception(Event.WORKER_FAILED, reason="a pool process sent what cannot be read; it is replaced")
            slot.kill()
            return
        self._stillbirths = 0
        # Before the next call begins: a request that is not acknowledged is the one that its process runs.
        self._tell(tell)
        self._go_on(is_freed=was_ready)

    def _replace(self, slot: Slot) -> None:
        """Bury a process that is gone, and fork another."""
        if self._hub is not None:
            self._hub.remove(slot.stream.fileno())
        was_running = slot.call is not None
        self._slots.remove(slot)
        self._tell(slot.bury)
        if self._hub is None:
            return
        self._stillbirths += 0 if slot.was_ready else 1
        if self._stillbirths > MAX_STILLBIRTHS:
            log.error(Event.WORKER_FAILED, reason="its pool processes die before they are ready", hint="see the lines above")
            state.should_stop = os.EX_SOFTWARE
            return
        self._refill(slot.index)
        self._go_on(is_freed=was_running)

    def _refill(self, index: int) -> None:
        """Fork a process in the place of one that is gone; if there is no memory for it, later."""
        if self._hub is None:
            return
        try:
            self._slots.append(self._fork(index))
        except OSError as error:
            log.warning(Event.WORKER_FAILED, reason=f"no pool process could be forked: {error}", hint="it is tried again")
            self._hub.call_later(REFILL_PAUSE_S, self._refill, index)
            return
        self._watch(self._slots[-1])
        self._set_alarm()

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            log.exception(Event.WORKER_FAILED, reason="Celery could not take how a call ended")

    def _go_on(self, is_freed: bool) -> None:
        self._start_calls()
        if is_freed and self._hub is not None:
            self.options["semaphore"].release()

    def _start_calls(self) -> None:
        for slot in self._slots:
            if not self._calls:
                break
            if slot.is_free:
                self._start(slot, self._calls.popleft())
        self._set_alarm()

    def _start(self, slot: Slot, call: Call) -> None:
        try:
            slot.start(call)
        except OSError:
            # gone, which the loop will notice, or stuck: it must not be given another call
            self._calls.appendleft(call)
            slot.kill()

    def _set_alarm(self) -> None:
        """See to it that the limits are enforced in time, with one timer: Celery's stay in memory until they are due."""
        if self._hub is None:
            return
        deadlines = [deadline for slot in self._slots if (deadline := slot.deadline()) is not None]
        if deadlines and (self._alarm_at is None or min(deadlines) < self._alarm_at):
            self._alarm_at = min(deadlines)
            self._hub.call_later(max(0.0, self._alarm_at - time.monotonic()), self._enforce_limits, self._alarm_at)

    def _enforce_limits(self, alarm_at: float) -> None:
        if alarm_at != self._alarm_at:
            return
        self._alarm_at = None
        for slot in self._slots:
            slot.enforce_limits()
        self._set_alarm()
