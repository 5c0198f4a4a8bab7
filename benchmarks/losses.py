"""Jobs that a peer loses: the report names them, and the round is measured once more. A loss of ours voids the run."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.errors import PeerLossError

Measured = TypeVar("Measured")


def measure_again_if_lost(measure: Callable[[], Measured], losses: list[str]) -> Measured:
    """Return what measure() returns, the second time if a peer lost jobs in the first; note that in losses."""
    try:
        return measure()
    except PeerLossError as error:
        losses.append(str(error))
        print(f"  {error}: once more", file=sys.stderr)
        return measure()


def losses_section(losses: Sequence[str]) -> str:
    """Return what the report says of them."""
    listed = "\n".join(f"- {loss}" for loss in losses)
    return f"## Jobs that peers lost\n\nThese rounds were measured once more, and only that counts.\n\n{listed}\n"
