"""The network between the parts and their engines, as proxies that can be cut."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.faulty_stack import FaultyStack
from tests.tcp_proxy import TcpProxy

#: Environments by part: of all parts (""), of those of a module, of the one of a name.
Environments = Mapping[str, Mapping[str, str]]

#: The workers behind the links; the others reach the engines directly.
CUT_WORKERS = ("worker-1", "worker-2")


class Links:
    """Proxies before the scheduler's broker, and before broker and database of half of the workers."""

    scheduler_broker: TcpProxy
    worker_broker: TcpProxy
    worker_database: TcpProxy

    def __init__(self) -> None:
        self._open: list[TcpProxy] = []

    def environments(self, database_url: str, broker_url: str) -> Environments:
        """Lay the links, and return the environments of the parts that use them."""
        self.scheduler_broker, scheduler_broker_url = TcpProxy.before(broker_url)
        self.worker_broker, worker_broker_url = TcpProxy.before(broker_url)
        self.worker_database, worker_database_url = TcpProxy.before(database_url)
        self._open = [self.scheduler_broker, self.worker_broker, self.worker_database]
        of_worker = {"BROKER_URL": worker_broker_url, "DATABASE_URL": worker_database_url}
        return {"scheduler": {"BROKER_URL": scheduler_broker_url}, **dict.fromkeys(CUT_WORKERS, of_worker)}

    def close(self) -> None:
        """Take all links away."""
        for proxy in self._open:
            proxy.close()


@dataclass(frozen=True, slots=True)
class LinkedStack:
    """A service, and the links between its parts and their engines."""

    faulty: FaultyStack
    links: Links
