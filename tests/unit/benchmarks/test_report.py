"""How ratios and tables are made."""

from benchmarks.memory import Footprint
from benchmarks.report import P50, RATE, figures, footprints, growth, ratios
from benchmarks.samples import Sample


def _trip(p50_ms: float) -> Sample:
    return Sample(1.0, {"api": 1.0}, {50: p50_ms, 99: 2 * p50_ms})


def test_a_ratio_compares_samples_of_the_same_round() -> None:
    ours = [Sample(rate, {"api": 1.0}) for rate in (100.0, 200.0, 400.0)]
    theirs = [Sample(rate, {"api": 2.0}) for rate in (50.0, 200.0, 100.0)]
    row = ratios({"ours": ours, "theirs": theirs}, "ours").splitlines()[-1]
    assert row == "| ours / theirs | 2.00 [1.00 to 4.00] | 0.50 [0.50 to 0.50] |"


def test_a_ratio_of_latencies_compares_latencies() -> None:
    row = ratios({"ours": [_trip(3.0)], "theirs": [_trip(6.0)]}, "ours", [P50]).splitlines()[-1]
    assert row == "| ours / theirs | 0.50 [0.50 to 0.50] |"


def test_one_contestant_alone_has_no_ratio() -> None:
    assert ratios({"ours": [_trip(3.0)]}, "ours", [RATE]) == "Nothing to compare with."


def test_the_load_generator_is_not_among_the_costs_of_a_job() -> None:
    assert Sample(1.0, {"api": 0.5, "postgres": 0.25, "load generator": 9.0}).total_cpu_s == 0.75


def test_a_table_shows_latencies_and_what_others_submit_only_where_there_are_some() -> None:
    assert "p50" not in figures({"ours": [Sample(1.0, {})]}, "jobs/s")
    with_others = Sample(1.0, {}, {50: 1.0, 99: 2.0}, others_per_s=1500.0)
    head, _, row = figures({"ours": [with_others]}, "round trips/s").splitlines()
    assert head.endswith("| p50 ms | p99 ms | others submit, jobs/s |")
    assert row.endswith("| 1.0 | 2.0 | 1,500 |")


def test_growth_says_how_many_times_longer_it_takes() -> None:
    submissions = {"empty": [Sample(2000.0, {})], "full": [Sample(1000.0, {})]}
    row = growth(submissions, {"empty": [_trip(4.0)], "full": [_trip(5.0)]}, "empty").splitlines()[-1]
    assert "| 2.00 [2.00 to 2.00] |" in row
    assert row.endswith("| 1.25 [1.25 to 1.25] |")


def test_a_footprint_is_the_sum_of_its_parts() -> None:
    found = Footprint({"api": 50.0, "postgres": 30.0}, {"api": 60.0, "postgres": 40.0}, [0.03, 0.02, 0.07], 5000)
    row = footprints({"ours": found}).splitlines()[-1]
    assert row == "| ours | **80**: api 50, postgres 30 | **100**: api 60, postgres 40 | 3.0% [2.0% to 7.0%] |"
