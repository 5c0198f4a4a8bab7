"""The api, served for one test on a fresh database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.api_rig import Hand, RunningApi, make_settings

StartApi = Callable[..., RunningApi]


@pytest.fixture
def start_api(database_url: str) -> Iterator[StartApi]:
    """Serve the api with other settings if given; may be called more than once, for replicas on one database."""
    with ExitStack() as stack:

        def start(**values: Any) -> RunningApi:
            return stack.enter_context(RunningApi(make_settings(database_url, **values)))

        yield start


@pytest.fixture
def api(start_api: StartApi) -> RunningApi:
    """The api with default settings."""
    return start_api()


@pytest.fixture
def hand(database_url: str) -> Iterator[Hand]:
    """A hand that plays the worker."""
    with Hand(database_url) as hand:
        yield hand
