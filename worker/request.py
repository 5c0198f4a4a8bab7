"""The request of one delivered message: here the attempt's token is minted, so that parent and pool process share it."""

from typing import Any
from uuid import UUID, uuid4

from celery.worker.request import Request


class HeldRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Celery's Request with a token. The worker's heartbeat lists it until the message is acknowledged.

    The parent process reports time limits and killed children with what this request knows, so the token must be known
    before the pool process claims with it.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        # An acknowledgement that fails must end the connection: kombu's Redis transport goes on counting the message as
        # taken, and at its prefetch limit it never asks again, nor notices. Celery only logs errors that are named here.
        self._connection_errors = ()
        self.token = uuid4()
        self._request_dict["token"] = str(self.token)
        self.app.holdings.add(self.token, UUID(self.id), self)

    def acknowledge(self) -> None:
        """Acknowledge the message: the outcome is recorded, or on its way through the heartbeat."""
        super().acknowledge()
        self.app.holdings.discard(self.token)

    def reject(self, requeue: bool = False) -> None:  # noqa: ARG002  # Celery's signature
        """Acknowledge it all the same: the row decides whether the job runs again, never the broker."""
        super().acknowledge()
        self.app.holdings.discard(self.token)
