"""A contestant of which nothing runs: for what measurements do with answers."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestant import Command, Contestant, Engines


class StubContestant(Contestant):
    """Has no processes, and no job has ever finished."""

    title = "none"

    def __init__(self) -> None:
        super().__init__("stub", Path("python"), Engines("", "", Path(), 0))

    def api(self, port: int) -> Sequence[Command]:
        return ()

    def count_finished(self) -> int:
        return 0

    def read_results(self, task_ids: Sequence[str]) -> Sequence[object]:
        return [None] * len(task_ids)
