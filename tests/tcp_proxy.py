"""A TCP proxy on a free port that does to the connections through it what networks do."""

import socket
import threading
from contextlib import suppress
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

Address = tuple[str, int] | str


class TcpProxy:
    """Forwards each connection to an address: (host, port), or the path of a Unix socket."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._is_passing = threading.Event()
        self._is_passing.set()
        self._replies_pass = threading.Event()
        self._replies_pass.set()
        self._reply_is_held = threading.Event()
        self._mark: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def before(cls, url: str) -> tuple["TcpProxy", str]:
        """Return a proxy to the server of url, and the url by which to reach it."""
        parts = urlsplit(url)
        if parts.scheme == "redis+socket":
            proxy = cls(parts.path)
            return proxy, f"redis://127.0.0.1:{proxy.port}/{parse_qs(parts.query)['virtual_host'][0]}"
        query = parse_qs(parts.query)
        if parts.scheme == "postgresql" and "host" in query:
            proxy = cls(f"{query.pop('host')[0]}/.s.PGSQL.5432")
        else:
            proxy = cls((parts.hostname or "127.0.0.1", parts.port or 5672))
        user, at, _ = parts.netloc.rpartition("@")
        near = parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}", query=urlencode(query, doseq=True))
        return proxy, urlunsplit(near)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break every open connection; new ones are taken."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def stall(self) -> None:
        """Let nothing through, and tell nobody: connections stay open, new ones are taken and get no answer."""
        self._is_passing.clear()

    def heal(self) -> None:
        """Break the connections of before stall(), as a host does that has given them up, and let new ones through."""
        self.cut()
        self._is_passing.set()

    def hold_replies_after(self, mark: bytes) -> None:
        """Hold back whatever the server says once a client has sent something with the mark in it, which is let through."""
        self._reply_is_held.clear()
        self._mark = mark

    def wait_until_held(self, limit_s: float) -> bool:
        """Return whether a reply is being held back, after limit_s seconds at the latest."""
        return self._reply_is_held.wait(limit_s)

    def drop_replies(self) -> None:
        """Break all connections with what is held back; new ones work."""
        self._mark = None
        self.cut()
        self._replies_pass.set()

    def close(self) -> None:
        """Stop listening and break what is open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.drop_replies()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = self._connect()
            except OSError:
                near.close()  # the server is away
                continue
            self._open += [near, far]
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._target)
            except OSError:
                far.close()
                raise
            return far
        return socket.create_connection(self._target)

    def _pump(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._is_passing.wait()
                if is_reply and not self._replies_pass.is_set():
                    self._reply_is_held.set()
                    self._replies_pass.wait()
                elif not is_reply and self._mark is not None and self._mark in data:
                    self._replies_pass.clear()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
