"""Which ratios must be reached, and when one is."""

import pytest

from benchmarks.findings import TARGETS, Findings, Target, targets_table
from benchmarks.memory import WHOLE, Footprint
from benchmarks.samples import Sample, Samples


def _rates(**rates: float) -> Samples:
    return {name: [Sample(rate, {})] for name, rate in rates.items()}


def _row(findings: Findings, claim: str) -> list[str]:
    return next(target.row(findings) for target in TARGETS if claim in target.claim)


def test_what_was_not_measured_is_not_reached() -> None:
    rows = targets_table(Findings()).splitlines()[2:]
    assert len(rows) == len(TARGETS)
    assert all(row.endswith("| not measured |  |") for row in rows)


@pytest.mark.parametrize(("rate", "reached"), [(399.0, "**no**"), (401.0, "yes")])
def test_a_rate_must_be_at_least_the_bound(rate: float, reached: str) -> None:
    findings = Findings({"submit 64": _rates(ours=rate, tutorial=100.0)})
    assert _row(findings, "/ tutorial")[-1] == reached


@pytest.mark.parametrize(("p50_ms", "reached"), [(9.9, "yes"), (10.1, "**no**")])
def test_a_round_trip_must_be_at_most_the_bound(p50_ms: float, reached: str) -> None:
    samples = {name: [Sample(1.0, {}, {50: value})] for name, value in (("ours", p50_ms), ("tutorial", 10.0))}
    assert _row(Findings({"round-trip idle": samples}), "round trip p50, idle")[-1] == reached


def test_the_best_peer_is_the_fastest_of_those_that_do_the_same() -> None:
    findings = Findings(
        {"submit 64": _rates(ours=100.0, standalone=900.0, echo=900.0, tutorial=900.0, taskiq=50.0, arq=80.0)}
    )
    assert findings.best_peer("submit 64") == "arq"
    assert _row(findings, "best peer")[2] == "1.25"


def test_without_a_peer_there_is_no_ratio_to_the_best() -> None:
    assert _row(Findings({"submit 64": _rates(ours=100.0)}), "best peer")[2] == "not measured"


def test_slower_submissions_in_a_full_table_are_a_ratio_above_one() -> None:
    findings = Findings({"growth submit": {"empty": [Sample(2000.0, {})], "1,000,000 finished": [Sample(1600.0, {})]}})
    assert _row(findings, "time of a submission")[2:] == ["1.25", "**no**"]


def test_idle_is_measured_of_the_whole_system() -> None:
    findings = Findings(footprints={WHOLE: Footprint({"api": 500.0, "worker": 150.0}, {}, [0.025, 0.02, 0.07], 1)})
    assert _row(findings, "of one core")[2:] == ["2.5% [2.0% to 7.0%]", "yes"]
    assert _row(findings, "MiB")[2:] == ["650", "yes"]


def test_the_median_decides() -> None:
    target = Target("x", 2.0, True, lambda _: [1.0, 2.5, 3.0])
    assert target.row(Findings()) == ["x", ">= 2.00", "2.50 [1.00 to 3.00]", "yes"]
