"""A peer that loses jobs is measured once more, and named; a loss of ours voids the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import stack
from benchmarks.errors import BenchmarkError, PeerLossError
from benchmarks.losses import losses_section, measure_again_if_lost
from benchmarks.stack import Stack
from tests.unit.benchmarks.stub_contestant import StubContestant


def test_a_round_in_which_a_peer_lost_jobs_is_measured_once_more_and_named() -> None:
    results: Iterator[int | Exception] = iter([PeerLossError("taskiq: 5 of 10,000 jobs never finished"), 7])
    losses: list[str] = []

    assert measure_again_if_lost(lambda: raised_or_returned(results), losses) == 7
    assert "- taskiq: 5 of 10,000 jobs never finished" in losses_section(losses)


@pytest.mark.parametrize(
    "errors", [[BenchmarkError("ours: 1 of 2 jobs never finished")], [PeerLossError("once"), PeerLossError("twice")]]
)
def test_a_loss_of_ours_and_a_second_one_of_a_peer_end_the_run(errors: list[Exception]) -> None:
    results: Iterator[int | Exception] = iter([*errors, 7])

    with pytest.raises(BenchmarkError, match=str(errors[-1])):
        measure_again_if_lost(lambda: raised_or_returned(results), [])


@pytest.mark.parametrize(("is_ours", "kind"), [(True, BenchmarkError), (False, PeerLossError)])
def test_a_drain_that_stands_still_is_a_loss(
    is_ours: bool, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "STALL_LIMIT_S", 0.05)
    contestant = StubContestant()
    contestant.is_ours = is_ours

    with pytest.raises(BenchmarkError, match="3 of 3 jobs never finished") as caught:
        Stack(contestant, tmp_path, dict).wait_until_finished(3)
    assert type(caught.value) is kind


def raised_or_returned(results: Iterator[int | Exception]) -> int:
    result = next(results)
    if isinstance(result, Exception):
        raise result
    return result
