"""Schemathesis sends what the OpenAPI description allows, and what it does not: no server error, no undocumented answer."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.api_rig import Hand
from tests.integration.conftest import StartApi

SEED = 20260101
BUDGET_S = 30
#: Jobs that are old enough to be finished.
RIPE = """
SELECT task_id FROM live_jobs l JOIN jobs USING (task_id)
WHERE l.status = 'PENDING' AND created_at < now() - interval '1 s'
"""
#: All that apply, but for two: whether a key is free is no matter of the schema (positive_data_acceptance), and nothing
#: is deleted here (use_after_free).
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ensure_resource_availability",
)


@contextmanager
def finishing(database_url: str) -> Iterator[None]:
    """Let a worker's hand finish every job a second after its acceptance: then streams end, and every state is met."""
    is_over = threading.Event()

    def finish() -> None:
        with Hand(database_url) as hand:
            while not is_over.wait(0.3):
                for number, (task_id,) in enumerate(hand.connection.execute(RIPE).fetchall()):
                    with suppress(AssertionError):  # cancelled in this very moment
                        token = hand.claim(str(task_id))
                        if number % 2:
                            hand.finish(str(task_id), token)
                        else:
                            hand.fail(str(task_id), token, '{"type": "ValueError", "message": "no"}', "trace")

    thread = threading.Thread(target=finish)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_no_server_error_and_no_undocumented_answer(
    start_api: StartApi, hand: Hand, database_url: str, tmp_path: Path
) -> None:
    api = start_api(wait_limit_s=0.05)
    hand.beat("scheduler", age_s=-3600)
    hand.beat("worker", age_s=-3600)
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.url}/openapi.json"),
        *("--seed", str(SEED), "--max-time", str(BUDGET_S), "--max-examples", "25", "--checks", ",".join(CHECKS)),
        *("--generation-database", "none", "--no-color", "--warnings", "off"),
    ]
    with finishing(database_url):
        outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert outcome.returncode == 0, outcome.stdout
    cases = re.search(r"(\d+) generated", outcome.stdout)
    assert cases is not None, outcome.stdout
    assert int(cases[1]) > 100
    assert hand.count("SELECT count(*) FROM jobs") > 10
