"""What a user's program does with the HTTP interface."""

import time
from typing import Any, Final

import requests

#: Nothing is answered later than this, whatever is broken; a wait adds its own time.
ANSWER_LIMIT_S: Final = 10.0


class ApiClient:
    """Sends requests, each on a connection of its own. Give http:// and the port."""

    def __init__(self, url: str) -> None:
        self.url: Final = url

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        """Submit; body is JSON text as bytes, or what becomes JSON."""
        content = {"data": body, "headers": {"content-type": "application/json", **(headers or {})}}
        if not isinstance(body, bytes):
            content = {"json": body, "headers": headers}
        return self._send("POST", path, params=query, timeout=ANSWER_LIMIT_S, **content)

    def get(self, path: str, wait_s: float = 0.0) -> requests.Response:
        """Read; wait_s becomes ?wait=."""
        query = {"wait": wait_s} if wait_s else {}
        return self._send("GET", path, params=query, timeout=ANSWER_LIMIT_S + wait_s)

    def submit(self, task: str, query: dict[str, Any] | None = None, **args: Any) -> str:
        """Submit a job and return its id. Raises AssertionError if it was not accepted."""
        response = self.post(f"/{task}", args, **(query or {}))
        assert response.status_code == 202, response.text
        return str(response.json()["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        """Return where the job stands. Raises AssertionError if it cannot be told."""
        response = self.get(f"/status/{task_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def job(self, task_id: str) -> dict[str, Any]:
        """Return the job with its attempts."""
        response = self.get(f"/jobs/{task_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def finished(self, task_id: str, limit_s: float = 15.0) -> dict[str, Any]:
        """Return the job with its attempts when it has finished. Raises TimeoutError with what was seen last."""
        deadline = time.monotonic() + limit_s
        while True:
            left_s = max(0.05, deadline - time.monotonic())
            response = self.get(f"/status/{task_id}", wait_s=min(left_s, 30.0))
            if response.status_code == 200 and response.json()["finished_at"] is not None:
                return self.job(task_id)
            if time.monotonic() > deadline:
                raise TimeoutError(f"not finished within {limit_s} s: {self.get(f'/jobs/{task_id}').text}")

    def is_ready(self) -> bool:
        """Tell whether the service says that it is."""
        try:
            return self.get("/readyz").status_code == 200
        except requests.RequestException:
            return False

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between us
            return session.request(method, f"{self.url}{path}", **options)
