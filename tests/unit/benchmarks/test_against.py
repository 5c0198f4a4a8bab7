"""Pairs of this tree and an earlier one: what they say, and how the database's work is counted."""

import random
from itertools import pairwise

import pytest

from benchmarks.against import BEFORE, NOW, Pairs, pairs_section, work_section
from benchmarks.database_work import DatabaseWork, statements_by_part
from benchmarks.pairs import median_interval
from benchmarks.samples import Sample

LOG = """\
2026-11-28 01:00:00.123 UTC [11] now|api: accept jobs|LOG:  execute <unnamed>: WITH asked AS (
\tSELECT 1
2026-11-28 01:00:00.124 UTC [12] now|scheduler relay|LOG:  statement: SELECT 1
2026-11-28 01:00:00.125 UTC [13] now|vm:4711:0a1b2c|LOG:  execute statement_1: UPDATE live_jobs
2026-11-28 01:00:00.126 UTC [13] now|vm:4711:0a1b2c|DETAIL:  parameters: $1 = 'LOG:  statement: x'
2026-11-28 01:00:00.127 UTC [14] before|vm:4712:0a1b2c|LOG:  execute statement_1: UPDATE live_jobs
2026-11-28 01:00:00.128 UTC [15] now||LOG:  statement: SELECT count(*) FROM jobs
"""


def sample(rate: float, cpu_s: float) -> Sample:
    return Sample(rate, {"worker": cpu_s, "load generator": 9.0}, {50: 1000.0 / rate})


def test_statements_are_counted_by_part_in_one_database() -> None:
    assert statements_by_part(LOG.splitlines(), NOW) == {"api": 1, "scheduler": 1, "worker": 1}
    assert statements_by_part(LOG.splitlines(), BEFORE) == {"worker": 1}


def test_interval_of_twelve_is_the_third_from_each_end() -> None:
    interval = median_interval([float(number) for number in range(1, 13)])
    assert (interval.low, interval.median, interval.high) == (3.0, 6.5, 10.0)


def test_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng = random.Random(1)
    found = [median_interval([rng.lognormvariate(0.0, 0.3) for _ in range(12)]) for _ in range(2_000)]
    assert sum(interval.low <= 1.0 <= interval.high for interval in found) >= 0.9 * len(found)


def test_more_values_make_it_narrower() -> None:
    rng = random.Random(2)
    values = [rng.gauss(1.0, 0.1) for _ in range(400)]
    widths = [interval.high - interval.low for interval in (median_interval(values[:count]) for count in (12, 50, 400))]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


def test_four_values_say_nothing() -> None:
    with pytest.raises(ValueError, match="4 values say nothing"):
        median_interval([1.0, 2.0, 3.0, 4.0])


def test_slower_tree_does_not_reach_the_bound() -> None:
    slow = Pairs([sample(94.0, 1.1)] * 12, [sample(100.0, 1.0)] * 12)
    assert "| submit, now / before | 0.940 [0.940 to 0.940] | reaches 0.97 | NO |" in pairs_section("submit", slow)
    assert "| CPU s per job, now / before | 1.100 [1.100 to 1.100] | down to 1.03 | NO |" in pairs_section("submit", slow)
    same = Pairs([sample(100.0, 1.0)] * 12, [sample(100.0, 1.0)] * 12)
    assert "NO" not in pairs_section("round-trip", same)


def test_growth_of_the_databases_work_is_told() -> None:
    before = [DatabaseWork({"api": 0.1, "worker": 1.0}, 1.0, 1000.0)] * 5
    now = [DatabaseWork({"api": 0.1, "worker": 1.02}, 1.0, 1040.0)] * 5
    lines = work_section(now, before).splitlines()
    assert "| statements, worker | 1.000 | 1.020 | 1.020 | yes |" in lines
    assert "| WAL bytes | 1,000.000 | 1,040.000 | 1.040 | NO |" in lines
    assert "| statements, scheduler | 0.000 | 0.000 | 1.000 | yes |" in lines
