"""Long work in the event loop, in short turns."""

import asyncio
from typing import Final

TURN_S: Final = 0.004


class Turn:
    """Lets the event loop serve others whenever TURN_S have gone by."""

    def __init__(self) -> None:
        """Begin a turn."""
        self._clock = asyncio.get_running_loop().time
        self._ends_at = self._clock() + TURN_S

    async def offer(self) -> None:
        """Give way, if it is time to."""
        if self._clock() >= self._ends_at:
            await asyncio.sleep(0)
            self._ends_at = self._clock() + TURN_S
