"""What the endpoints share, and the connections under it."""

import asyncio
from contextlib import suppress

from api.accepting import JobWriter
from api.backlog import Backlog
from api.reading import JobReader
from api.store import Store
from api.waiting import FinishWatch
from core.settings import Settings


class Services:
    """The connections of one api process, and what works on them.

    Each purpose has its own, so that none waits for another: a slow read does not delay submissions.
    """

    def __init__(self, settings: Settings) -> None:
        """Open nothing: connections are made by start, or when they are needed."""
        plain = Store(settings, "accept jobs")
        keyed = Store(settings, "accept jobs with keys")
        reads = Store(settings, "read jobs")
        waits = Store(settings, "wait for jobs")
        counts = Store(settings, "count jobs")
        self.health_store = Store(settings, "check readiness")
        self._stores = (plain, keyed, reads, waits, counts, self.health_store)
        self.writer = JobWriter(plain, keyed, settings.idempotency_ttl_s)
        self.reader = JobReader(reads)
        self.watch = FinishWatch(waits)
        self.backlog = Backlog(counts, settings.backlog_limit)
        self._warming: asyncio.Future[list[None]] | None = None

    def start(self) -> None:
        """Connect and begin to count, in the background: the database may still be away."""
        self.backlog.start()
        self._warming = asyncio.gather(*(store.warm_up() for store in self._stores))

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        if self._warming is not None:
            self._warming.cancel()
            with suppress(asyncio.CancelledError):
                await self._warming
        await asyncio.gather(*(part.drain() for part in (self.watch, self.backlog, self.writer, self.reader)))
        await asyncio.gather(*(store.close() for store in self._stores))
