"""The attempts that a worker holds: from the arrival of the message until it is acknowledged."""

import time
from threading import Lock
from typing import Any
from uuid import UUID
from weakref import ref


class Holdings:
    """Tokens of the requests in this worker, read by the heartbeat's thread.

    Requests are held weakly: those that Celery drops at a lost connection, before they ran, leave by themselves.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: dict[UUID, tuple[UUID, ref[Any]]] = {}
        self._given_back: set[UUID] = set()

    def add(self, token: UUID, task_id: UUID, request: Any) -> None:
        """Note a request that arrived."""
        with self._lock:
            self._requests[token] = (task_id, ref(request))

    def discard(self, token: UUID) -> None:
        """Forget a request that was acknowledged."""
        with self._lock:
            self._requests.pop(token, None)

    def request(self, token: UUID) -> Any | None:
        """Return the request of a token, if it is still held."""
        with self._lock:
            _, request = self._requests.get(token, (None, None))
        return None if request is None else request()

    def take_stuck(self, slots: int, patience_s: float) -> list[UUID]:
        """Return the jobs whose messages wait while every slot has been busy for patience_s seconds; each job once."""
        now = time.time()  # Celery's clock for the start of a request
        with self._lock:
            held = [(token, task_id, request()) for token, (task_id, request) in self._requests.items()]
            busy = sum(1 for *_, request in held if request and request.time_start and now - request.time_start > patience_s)
            if busy < slots:
                return []
            waiting = {token: task_id for token, task_id, request in held if request and not request.time_start}
            stuck = [task_id for token, task_id in waiting.items() if token not in self._given_back]
            self._given_back = set(waiting)
            return stuck

    def waiting(self) -> list[UUID]:
        """Return the jobs of messages that wait here for a slot."""
        with self._lock:
            held = [(task_id, request()) for task_id, request in self._requests.values()]
        return [task_id for task_id, request in held if request and not request.time_start]

    def longest_limit_s(self) -> float:
        """Return the longest time limit, in seconds, of what a slot has begun; 0 if nothing has begun."""
        with self._lock:
            requests = [request() for _, request in self._requests.values()]
        return max((request.task.time_limit or 0.0 for request in requests if request and request.time_start), default=0.0)

    def held(self) -> dict[UUID, UUID]:
        """Return the task_id of each token."""
        with self._lock:
            gone = [token for token, (_, request) in self._requests.items() if request() is None]
            for token in gone:
                del self._requests[token]
            return {token: task_id for token, (task_id, _) in self._requests.items()}
