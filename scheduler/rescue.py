"""The rescue: makes due again what a crash left behind. See docs/architecture.md, "A job's life", step 6."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from core.events import Event
from core.queries import load_query
from scheduler.budget import Budget
from scheduler.expiry import revoke_expired
from scheduler.leadership import Leadership, LockKey
from scheduler.observations import DEAD_AFTER_S, Instance, Loss, Observations, RunningJob
from scheduler.republishing import Republishing

_OBSERVE_INSTANCES: Final = load_query("scheduler", "observe_instances")
_OBSERVE_RUNNING: Final = load_query("scheduler", "observe_running")
_BURY: Final = load_query("scheduler", "bury")
_LOSE: Final = load_query("core", "lose")

INTERVAL_S: Final = 1.0
#: Reading all of live_jobs takes 0.16 s with a million jobs: then it is done less often. A death is acted on at once.
SCAN_SHARE: Final = 0.05

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Instances, and running jobs if they were read (None: they were not)."""

    instances: Sequence[Instance]
    running: Sequence[RunningJob] | None


class Rescue:
    """Looks once a second for dead workers, jobs that nobody runs or that nobody started in time, and lost messages."""

    name = "rescue"
    session = ("SET max_parallel_workers_per_gather = 0", "SET jit = off")

    def __init__(self, max_losses: int, republishing: Republishing, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_losses = max_losses
        self._republishing = republishing
        self._clock = clock
        self._leadership = Leadership(LockKey.RESCUE)
        self._observations = Observations()
        self._budget = Budget(SCAN_SHARE)

    def step(self, connection: Connection[TupleRow]) -> float:
        """Look once, if this scheduler leads."""
        if self._leadership.is_held(connection):
            self._rescue_jobs(connection)
            self._republishing.step(connection)
            revoke_expired(connection)
        return INTERVAL_S

    def forget(self) -> None:
        """After an outage of the database every worker looks dead: begin anew."""
        self._leadership.forget()
        self._observations.forget()
        self._republishing.forget()

    def leave(self, connection: Connection[TupleRow]) -> None:
        """Nothing to do: the lock goes with the connection."""

    def close(self) -> None:
        """Close the connection to the broker."""
        self._republishing.close()

    def _rescue_jobs(self, connection: Connection[TupleRow]) -> None:
        snapshot = self._observe(connection)
        dead = self._observations.find_dead(self._clock(), snapshot.instances)
        if dead and snapshot.running is None:
            snapshot = self._scan(connection)
        if snapshot.running is not None:
            beats = {instance.instance_id: instance.beat for instance in snapshot.instances}
            dead = [instance for instance in dead if beats.get(instance.instance_id) == instance.beat]
            self._lose(connection, self._find_losses(snapshot.running, beats, dead))
        for instance in dead:
            connection.execute(_BURY, {"instance_id": instance.instance_id, "beat": instance.beat})

    def _observe(self, connection: Connection[TupleRow]) -> Snapshot:
        if self._budget.allows(self._clock()):
            return self._scan(connection)
        rows = connection.execute(_OBSERVE_INSTANCES).fetchall()
        return Snapshot([Instance(*row) for row in rows], running=None)

    def _scan(self, connection: Connection[TupleRow]) -> Snapshot:
        started_at = self._clock()
        rows = connection.execute(_OBSERVE_RUNNING).fetchall()
        self._budget.spend(self._clock(), self._clock() - started_at)
        instances = [Instance(worker, part, beat) for worker, part, beat, task_id, _, _ in rows if task_id is None]
        running = [
            RunningJob(task_id, token, worker, is_listed)
            for worker, _, _, task_id, token, is_listed in rows
            if task_id is not None
        ]
        return Snapshot(instances, running)

    def _find_losses(self, running: Sequence[RunningJob], beats: dict[str, int], dead: Sequence[Instance]) -> list[Loss]:
        dead_workers = {instance.instance_id for instance in dead}
        others = [job for job in running if job.worker not in dead_workers]
        return [
            Loss(job, f"worker {job.worker} gave no sign of life for {DEAD_AFTER_S:g} s")
            for job in running
            if job.worker in dead_workers
        ] + self._observations.find_lost(self._clock(), beats, others)

    def _lose(self, connection: Connection[TupleRow], losses: Sequence[Loss]) -> None:
        for reason, group in groupby(sorted(losses, key=attrgetter("reason")), key=attrgetter("reason")):
            jobs = [loss.job for loss in group]
            parameters = {
                "task_ids": [job.task_id for job in jobs],
                "tokens": [job.token for job in jobs],
                "max_losses": self._max_losses,
                "error": json.dumps({"type": "WorkerLost", "message": reason}),
            }
            for task_id, is_finished, _ in connection.execute(_LOSE, parameters).fetchall():
                log.warning(Event.JOB_LOST, task_id=str(task_id), reason=reason, is_finished=is_finished)
