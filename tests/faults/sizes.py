"""Each case has a short form, for every run of the tests, and a full one: `./dev faults --full`."""

import os
from typing import Final

import pytest

IS_FULL: Final = os.environ.get("FAULTS", "") == "full"


BROKERS: Final = ("rabbitmq", "valkey")


def on_each_broker(short: str) -> pytest.MarkDecorator:
    """Run a case on each broker in the full form; where the broker plays no great part, on one of them in the short form."""
    return pytest.mark.parametrize("ground", BROKERS if IS_FULL else (short,), indirect=True, scope="package")


def size(short: int, full: int) -> int:
    """Return the number for this run's form."""
    return full if IS_FULL else short
