"""Each case has a short form, for every run of the tests, and a full one: `./dev faults --full`."""

import os
from typing import Final

IS_FULL: Final = os.environ.get("FAULTS", "") == "full"


def size(short: int, full: int) -> int:
    """Return the number for this run's form."""
    return full if IS_FULL else short
