"""A client, and the service that it talks to."""

from collections.abc import Iterator

import pytest

from client import Client
from tests.fake_service import FakeService


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A stand-in for the service."""
    with FakeService() as service:
        yield service


@pytest.fixture
def client(service: FakeService) -> Iterator[Client]:
    """A client of it."""
    with Client(service.url, timeout_s=5.0) as client:
        yield client
