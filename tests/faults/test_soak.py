"""Twenty minutes under load: what is used at the end is what was used after a few minutes."""

import statistics
import time
from collections.abc import Sequence
from typing import Final

import psycopg
import pytest

from tests.faults.faulty_stack import FaultyStack
from tests.faults.ground import StartFaulty
from tests.faults.report import Report
from tests.processes import descendants_of, open_files, resident_mib

RATE: Final = 30
DURATION_S: Final = 1_200
SAMPLE_S: Final = 10.0
#: Finished jobs and keys are kept for two minutes, so the tables level off too.
ENVIRONMENT: Final = {"RETENTION_S": "120", "IDEMPOTENCY_TTL_S": "120", "LOG_LEVEL": "WARNING"}
#: What a figure may grow from the second quarter of the run to the last: a share of it, and what is nothing at all.
GROWTH: Final = 0.1
NOISE: Final = {"memory": 5.0, "descriptors": 3.0, "connections": 3.0, "messages": 30.0, "live": 0.5, "tables": 5.0}

_TABLES: Final = """
SELECT pg_total_relation_size('live_jobs') / 1048576.0, sum(pg_total_relation_size(relid)) / 1048576.0,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())
FROM pg_stat_user_tables WHERE relname NOT IN ('outcomes')
"""

Sample = dict[str, float]

pytestmark = [pytest.mark.full_only, pytest.mark.timeout(DURATION_S + 300)]


def test_nothing_grows(start_faulty: StartFaulty, report: Report) -> None:
    faulty = start_faulty(lambda _database_url, _broker_url: {"": ENVIRONMENT})
    samples: list[Sample] = []
    with faulty.load("soak", RATE * DURATION_S, rate=RATE) as load:
        ends_at = time.monotonic() + DURATION_S
        while time.monotonic() < ends_at:
            time.sleep(SAMPLE_S)
            samples.append(_sample(faulty))
        load.wait_accepted(limit_s=60.0)
        faulty.checker.wait_drained(60.0)
        outcomes = faulty.checker.finished()
    early, late = (_means(part) for part in (samples[len(samples) // 4 : len(samples) // 2], samples[-len(samples) // 4 :]))
    report.add(
        f"soak: {DURATION_S // 60} min at {RATE} jobs/s",
        faulty.broker.engine.name,
        verdict=None,
        accepted=f"{len(load.accepted):,}",
        outcomes=f"{outcomes:,}",
        slowest_answer=f"{load.slowest_s:.2f} s",
        **{
            name: f"{early[name]:.1f} → {late[name]:.1f}" for name in sorted(late) if name.partition(" ")[0] != "descriptors"
        },
    )
    assert len(load.accepted) == outcomes == RATE * DURATION_S
    assert not load.refusals
    grown = {name: (early[name], late[name]) for name in late if late[name] > _allowed(name, early[name])}
    assert not grown


def _allowed(name: str, before: float) -> float:
    return before * (1 + GROWTH) + NOISE[name.partition(" ")[0]]


def _means(samples: Sequence[Sample]) -> Sample:
    return {name: statistics.mean(sample[name] for sample in samples) for name in samples[0]}


def _sample(faulty: FaultyStack) -> Sample:
    """Return what is used now: MiB of memory and descriptors of each part with its children, and so on."""
    sample = {}
    for part in faulty.stack.parts:
        assert part.pid is not None
        pids = [part.pid, *descendants_of(part.pid)]
        sample[f"memory of {part.name} (MiB)"] = float(sum(map(resident_mib, pids)))
        sample[f"descriptors of {part.name}"] = float(sum(map(open_files, pids)))
    with psycopg.connect(faulty.stack.database_url, autocommit=True) as connection:
        live_mib, tables_mib, connections = connection.execute(_TABLES).fetchall()[0]
    return {
        **sample,
        "live jobs (MiB)": float(live_mib),
        "tables (MiB)": float(tables_mib),
        "connections to the database": float(connections),
        "messages that wait": float(faulty.messages_ready()),
    }
