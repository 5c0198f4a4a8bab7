"""A client that submits, waits for the result, and takes the time of both requests."""

import statistics
import time
from typing import Final

from tests.api_client import ApiClient

WAIT_S: Final = 10.0


class GoodClient:
    """Runs quick jobs one after the other; `request_s` is what each request took, of which a wait includes the job."""

    def __init__(self, client: ApiClient) -> None:
        self.request_s: Final[list[float]] = []
        self.jobs = 0
        self._client = client

    def work_until(self, deadline: float) -> None:
        """Run jobs until time.monotonic() is past the deadline. Raises AssertionError if anything is not as it should be."""
        while time.monotonic() < deadline:
            number = self.jobs
            began = time.monotonic()
            task_id = self._client.submit("effects.quick", number=number)
            submitted = time.monotonic()
            response = self._client.get(f"/status/{task_id}", wait_s=WAIT_S)
            self.request_s.extend([submitted - began, time.monotonic() - submitted])
            assert (response.status_code, response.json()["result"]) == (200, number * number), response.text
            self.jobs += 1

    @property
    def p99_s(self) -> float:
        """The time within which 99 of 100 requests were answered."""
        return statistics.quantiles(self.request_s, n=100)[98]
