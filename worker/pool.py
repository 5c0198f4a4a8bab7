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
from multiprocessing.connection import wait
from typing import Any, Final

import structlog
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import process_destructor, process_initializer
from celery.worker import state

from core.events import Event
from worker.call import Call
from worker.desk import Desk
from worker.slot import MOST_AHEAD, PARTING_LIMIT_S, Slot

#: Pool processes that die one after the other before they are ready, until the worker gives up.
MAX_STILLBIRTHS: Final = 5

REFILL_PAUSE_S: Final = 1.0

#: While the running calls end, this often the broker hears from the worker.
STOPPING_INTERVAL_S: Final = 1.0

log = structlog.get_logger()


class TaskPool(BasePool):  # type: ignore[misc]  # Celery has no types
    """One process per slot. Calls wait here until a slot is free.

    The only process of a worker gets its next calls ahead: it runs them anyway, and need not wait between two. Not under a
    memory limit, for its memory is looked at between two.
    """

    uses_semaphore = False

    def on_start(self) -> None:
        """Fork the processes."""
        self._hub: Any = None
        self._calls: deque[Call] = deque()
        self._stillbirths = 0
        self._alarm_at: float | None = None
        self._slots: list[Slot] = []
        self.app.task_pool = self
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
        """Forget the calls that wait here: their messages went with the connection. What a process has ahead, it runs."""
        self._calls.clear()

    def terminate_job(self, pid: int, number: Any = None) -> None:
        """Send a process a signal."""
        os.kill(pid, number)

    def slot_of(self, pid: int) -> Slot | None:
        """Return the slot with this process, if it still has it. For any thread."""
        return next((slot for slot in tuple(self._slots) if slot.pid == pid), None)

    def on_close(self) -> None:
        """Begin no call any more."""
        for slot in self._slots:
            slot.begin_no_more()

    def on_stop(self) -> None:
        """Wait for the running calls, under their limits, then let the processes go."""
        hub, self._hub = self._hub, None
        self._calls.clear()
        self.on_close()
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
        memory_limit_mib = self.app.settings.memory_limit_mib
        return Slot(
            index,
            self._initialize,
            process_destructor,
            others=self._slots,
            memory_limit_mib=memory_limit_mib,
            most_ahead=MOST_AHEAD if self.limit == 1 and not memory_limit_mib else 0,
        )

    def _initialize(self, desk: Desk) -> None:
        """Run in each new process, after the fork."""
        self.app.desk = desk
        process_initializer(*self.options["initargs"])

    def _watch(self, slot: Slot) -> None:
        if self._hub is not None:
            self._hub.add_reader(slot.stream.fileno(), self._read, slot)

    def _read(self, slot: Slot) -> None:
        """Read what a process sent: that it is ready, how its call ended, or that it is gone."""
        if not slot.stream.read():
            self._replace(slot)
            return
        while slot.stream.is_complete():
            try:
                tell = slot.finish()
            except Exception:
                log.exception(Event.WORKER_FAILED, reason="a pool process sent what cannot be read; it is replaced")
                slot.kill()
                return
            self._stillbirths = 0
            # In this order: the ends of calls are told before the begin of the next.
            self._tell(tell)
            self._tell(slot.begin_next)
        self._start_calls()

    def _replace(self, slot: Slot) -> None:
        """Bury a process that is gone, and fork another."""
        if self._hub is not None:
            self._hub.remove(slot.stream.fileno())
        self._tell(slot.catch_up)
        self._slots.remove(slot)
        for tell in slot.bury():
            self._tell(tell)
        self._calls.extendleft(reversed(slot.take_back()))
        if self._hub is None:
            return
        self._stillbirths += 0 if slot.was_ready else 1
        if self._stillbirths > MAX_STILLBIRTHS:
            log.error(Event.WORKER_FAILED, reason="its pool processes die before they are ready", hint="see the lines above")
            state.should_stop = os.EX_SOFTWARE
            return
        self._refill(slot.index)
        self._start_calls()

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

    def _start_calls(self) -> None:
        for slot in self._slots:
            while self._calls and slot.has_room and self._give(slot, self._calls[0]):
                self._calls.popleft()
        self._set_alarm()

    def _give(self, slot: Slot, call: Call) -> bool:
        try:
            return slot.give(call)
        except OSError:
            # gone, which the loop will notice, or stuck: it must not be given another call
            slot.kill()
            return False

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
