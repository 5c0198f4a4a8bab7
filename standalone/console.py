"""The one stream that shows what all parts say, a line at a time, each with the name of its part."""

import asyncio
import json
import os
import queue
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from standalone.events import Event

#: Who says what the supervisor itself has to say.
OWN_NAME: Final = "standalone"

_WIDTH: Final = 10
_COLOURS: Final = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_BACKLOG_CHUNKS: Final = 256
_PATIENCE_S: Final = 0.5
_CLOSE_LIMIT_S: Final = 2.0


class Console:
    """Writes in a thread of its own: a terminal that stands still (Ctrl-S) holds up neither the supervisor nor the parts."""

    def __init__(self, descriptor: int, log_format: Literal["console", "json"], *, is_coloured: bool) -> None:
        # Not a file object: its lock, held by a thread that is stuck in a write, would stop the interpreter's exit.
        self._descriptor = descriptor
        self._is_json = log_format == "json"
        self._is_coloured = is_coloured
        self._left_out = 0
        self._prefixes: dict[str, bytes] = {}
        self._chunks: queue.Queue[bytes | None] = queue.Queue(_BACKLOG_CHUNKS)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    async def show(self, part: str, lines: list[bytes]) -> None:
        """Write whole lines (without their ends) of a part.

        Waits a little for a stream that takes no more, then leaves lines out until it takes some again, and says how many.
        """
        deadline = time.monotonic() + (0.0 if self._left_out else _PATIENCE_S)
        while self._chunks.full() and time.monotonic() < deadline:  # noqa: ASYNC110  # a thread empties it
            await asyncio.sleep(0.02)
        if self._chunks.full():
            self._left_out += len(lines)
            return
        if self._left_out:
            notice = f"{self._left_out} lines are left out here: the terminal took none"
            self._left_out = 0
            self.say(Event.LINES_LEFT_OUT, notice)
        self._put(part, lines)

    def say(self, event: Event, sentence: str, **fields: object) -> None:
        """Write what the supervisor has to say: the sentence for people, event and fields for programs.

        Never waits: a stream that takes no more shall not hold up a stop.
        """
        if self._is_json:
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            line = json.dumps({"event": event, "level": "info", "part": OWN_NAME, "timestamp": now, **fields})
        else:
            line = sentence
        self._put(OWN_NAME, line.encode(errors="replace").split(b"\n"))

    def close(self) -> None:
        """Write what is left, for 2 s at most."""
        with suppress(queue.Full):
            self._chunks.put(None, timeout=_CLOSE_LIMIT_S)
            self._writer.join(_CLOSE_LIMIT_S)

    def _put(self, part: str, lines: list[bytes]) -> None:
        shown = [self._format(part, line) + b"\n" for line in lines if line or not self._is_json]
        with suppress(queue.Full):
            self._chunks.put_nowait(b"".join(shown))

    def _format(self, part: str, line: bytes) -> bytes:
        if not self._is_json:
            return self._prefix(part) + line.removesuffix(self._repetition(part))
        if line.startswith(b"{"):
            return line
        return json.dumps({"event": Event.OUTPUT_WRITTEN, "part": part, "line": line.decode(errors="replace")}).encode()

    def _prefix(self, part: str) -> bytes:
        if part not in self._prefixes:
            colour = _COLOURS[len(self._prefixes) % len(_COLOURS)]
            text = f"\x1b[{colour}m{part:<{_WIDTH}} │\x1b[0m " if self._is_coloured else f"{part:<{_WIDTH}} │ "
            self._prefixes[part] = text.encode()
        return self._prefixes[part]

    def _repetition(self, part: str) -> bytes:
        """Return how a line of core/console_lines.py ends that names its part once more."""
        text = f" \x1b[36mpart\x1b[0m=\x1b[35m{part}\x1b[0m" if self._is_coloured else f" part={part}"
        return text.encode()

    def _write(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            with suppress(OSError):  # the terminal was closed: all else goes on, and ends in good order
                while chunk:
                    chunk = chunk[os.write(self._descriptor, chunk) :]
