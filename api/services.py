"""What the endpoints share, and the connections under it."""

import asyncio
from contextlib import suppress
from typing import Final

from api.accepting import JobWriter
from api.backlog import Backlog
from api.batch_writer import BatchWriter
from api.intake import Intake
from api.pages import SNAPSHOT, PageReader
from api.reading import JobReader
from api.store import BY_INDEX, Store
from api.waiting import Watch
from core.settings import Settings

#: A batch takes a second, and waits for those before it.
BATCH_BUDGET_S: Final = 8.0


class Services:
    """The connections of one api process, and what works on them.

    Each purpose has its own, so that none waits for another: a slow read does not delay submissions.
    """

    def __init__(self, settings: Settings) -> None:
        """Open nothing: connections are made by start, or when they are needed."""
        plain = Store(settings, "accept jobs")
        keyed = Store(settings, "accept jobs with keys")
        batches = Store(settings, "accept batches", budget_s=BATCH_BUDGET_S)
        reads = Store(settings, "read jobs", BY_INDEX)
        waits = Store(settings, "wait for jobs", BY_INDEX)
        lists = Store(settings, "list jobs", (*BY_INDEX, *SNAPSHOT))
        counts = Store(settings, "count jobs")
        self.control_store = Store(settings, "control jobs", BY_INDEX)
        self.health_store = Store(settings, "check readiness")
        self.accepting_stores = (plain, keyed, batches)
        self._stores = (plain, keyed, batches, reads, waits, lists, counts, self.control_store, self.health_store)
        self.writer = JobWriter(plain, keyed, settings.idempotency_ttl_s)
        self.batch_writer = BatchWriter(batches, settings.idempotency_ttl_s)
        self.reader = JobReader(reads)
        self.page_reader = PageReader(lists)
        self.watch = Watch(waits)
        self.backlog = Backlog(counts, settings.backlog_limit)
        self.intake = Intake(settings, self.writer, self.backlog, self.reader, self.watch)
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
        parts = (self.watch, self.backlog, self.writer, self.batch_writer, self.reader)
        await asyncio.gather(*(part.drain() for part in parts))
        await asyncio.gather(*(store.close() for store in self._stores))
