"""Who is alive and what is lost, judged by counters and the scheduler's own clock, never by comparing clocks of machines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

#: A worker whose counter stood still so long is dead. It beats each second.
DEAD_AFTER_S: Final = 4.0
#: A token that a living worker does not list is lost after so many beats: the first may have been on its way already.
UNLISTED_BEATS: Final = 2
#: A job whose worker has no row at all is lost when it was seen twice, so far apart.
ORPHANED_AFTER_S: Final = 2.0
#: No observation for so long: the database, or this process, stood still, and so did the workers' beats. Begin anew.
LONGEST_GAP_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class Instance:
    """A row of `instances`: a process and its counter."""

    instance_id: str
    part: str
    beat: int


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A STARTED job, its worker, and whether that worker's last beat listed its token."""

    task_id: UUID
    token: UUID
    worker: str
    is_listed: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """A running job that nobody runs any more, and why we think so."""

    job: RunningJob
    reason: str


class Observations:
    """Remembers when each counter last moved, and which running jobs are in doubt."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[int, float]] = {}
        self._unlisted: dict[UUID, int] = {}
        self._orphaned: dict[UUID, float] = {}
        self._last_at = float("-inf")

    def forget(self) -> None:
        """Begin anew: nothing that was seen before says anything."""
        self._moved.clear()
        self._unlisted.clear()
        self._orphaned.clear()

    def find_dead(self, now: float, instances: Iterable[Instance]) -> list[Instance]:
        """Return the instances whose counters have stood still for DEAD_AFTER_S. To be called about once a second."""
        if now - self._last_at > LONGEST_GAP_S:
            self.forget()
        self._last_at = now
        before, self._moved = self._moved, {}
        dead = []
        for instance in instances:
            beat, since = before.get(instance.instance_id, (None, now))
            self._moved[instance.instance_id] = (instance.beat, since if beat == instance.beat else now)
            if beat == instance.beat and now - since >= DEAD_AFTER_S:
                dead.append(instance)
        return dead

    def find_lost(self, now: float, beats: Mapping[str, int], running: Sequence[RunningJob]) -> list[Loss]:
        """Return the running jobs that their living worker does not list, or whose worker is unknown, for long enough.

        beats: the counters of all instances, of the same snapshot as running.
        """
        doubtful = [job for job in running if not job.is_listed]
        unlisted = {job: beats[job.worker] for job in doubtful if job.worker in beats}
        orphaned = [job for job in doubtful if job.worker not in beats]
        self._unlisted = {job.token: self._unlisted.get(job.token, beat) for job, beat in unlisted.items()}
        self._orphaned = {job.token: self._orphaned.get(job.token, now) for job in orphaned}
        return [
            Loss(job, f"worker {job.worker} lives but does not run it any more")
            for job, beat in unlisted.items()
            if beat - self._unlisted[job.token] >= UNLISTED_BEATS
        ] + [
            Loss(job, f"worker {job.worker} is gone")
            for job in orphaned
            if now - self._orphaned[job.token] >= ORPHANED_AFTER_S
        ]
