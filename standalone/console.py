"""The one stream that shows what all parts say, a line at a time, each with the name of its part."""

import asyncio
import json
import os
import queue
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from standalone.events import Event

#: Who says what the supervisor itself has to say.
OWN_NAME: Final = "standalone"

_WIDTH: Final = 10
_COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_BACKLOG_CHUNKS: Final = 256
_CLOSE_LIMIT_S: Final = 2.0


class Console:
    """Writes in a thread of its own: a terminal that stands still (Ctrl-S) holds up the parts' logs, not the supervisor."""

    def __init__(self, descriptor: int, log_format: Literal["console", "json"], *, is_coloured: bool) -> None:
        # Not a file object: its lock, held by a thread that is stuck in a write, would stop the interpreter's exit.
        self._descriptor = descriptor
        self._is_json = log_format == "json"
        self._is_coloured = is_coloured
        self._prefixes: dict[str, bytes] = {}
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_BACKLOG_CHUNKS)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    async def show(self, part: str, lines: list[bytes]) -> None:
        """Write whole lines (without their ends) of a part; waits while the stream takes no more."""
        chunk = self._join(part, lines)
        while True:
            try:
                return self._chunks.put_nowait(chunk)
            except queue.Full:
                await asyncio.sleep(0.02)

    def say(self, event: Event, sentence: str, **fields: object) -> None:
        """Write what the supervisor has to say: the sentence for people, event and fields for programs.

        Never waits: a stream that takes no more shall not hold up a stop.
        """
        if self._is_json:
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            line = json.dumps({"event": event, "level": "info", "part": OWN_NAME, "timestamp": now, **fields})
        else:
            line = sentence
        with suppress(queue.Full):
            self._chunks.put_nowait(self._join(OWN_NAME, line.encode(errors="replace").split(b"\n")))

    def close(self) -> None:
        """Write what is left, for 2 s at most."""
        with suppress(queue.Full):
            self._chunks.put(None, timeout=_CLOSE_LIMIT_S)
            self._writer.join(_CLOSE_LIMIT_S)

    def _join(self, part: str, lines: list[bytes]) -> bytes:
        return b"".join(self._format(part, line) + b"\n" for line in lines if line or not self._is_json)

    def _format(self, part: str, line: bytes) -> bytes:
        if not self._is_json:
            return self._prefix(part) + line
        if line.startswith(b"{"):
            return line
        return json.dumps({"event": Event.OUTPUT_WRITTEN, "part": part, "line": line.decode(errors="replace")}).encode()

    def _prefix(self, part: str) -> bytes:
        if part not in self._prefixes:
            colour = _COLOURS[len(self._prefixes) % len(_COLOURS)]
            text = f"\x1b[{colour}m{part:<{_WIDTH}} │\x1b[0m " if self._is_coloured else f"{part:<{_WIDTH}} │ "
            self._prefixes[part] = text.encode()
        return self._prefixes[part]

    def _write(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            with suppress(OSError):  # the terminal was closed: all else goes on, and ends in good order
                while chunk:
                    chunk = chunk[os.write(self._descriptor, chunk) :]
