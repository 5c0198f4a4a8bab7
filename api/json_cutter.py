"""A body's JSON, cut into the texts of its parts: arguments inside it are stored to the letter.

To read them as values and to write them again would change them: 1e16, -0.0, 1.10. Only where a part ends is found out here
(by the standard library's scanner, in C); what it may hold is checked by who takes it.
"""

import json
import re
from json import decoder
from typing import Any, Final

from core.errors import MalformedError

# The standard library's own tools, which its types do not know.
_decoder: Any = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
#: Finds the end of a value; its numbers and constants are not looked at.
_scan: Final = _decoder.scan_once
_scan_string: Final = getattr(decoder, "scanstring")  # noqa: B009
_SPACE: Final = re.compile(r"[ \t\n\r]*")

#: A value is scanned in windows that grow, so that one which is too long costs neither time nor memory.
_FIRST_WINDOW_CHARS: Final = 4096
_WINDOW_GROWTH: Final = 16
#: The longest part of a token that the end of a window may cut off; only strings are longer.
_TOKEN_CHARS: Final = 12


class OversizedError(Exception):
    """A value is longer than it may be."""


class JsonCutter:
    """Walks through one text. Every method raises MalformedError where it is not JSON."""

    def __init__(self, text: str, limit_chars: int) -> None:
        """No value that is cut out may be longer than limit_chars."""
        self._text = text
        self._limit_chars = limit_chars
        self._position = self._skip(0)
        self._is_first = True

    def enter(self, bracket: str) -> bool:
        """Go into the object or array that begins here with bracket; return whether there is one."""
        if not self._text.startswith(bracket, self._position):
            return False
        self._position += 1
        self._is_first = True
        return True

    def next_member(self) -> str | None:
        """Go to the value of the next member and return its name; None: past the end of the object."""
        if not self._go_on("}"):
            return None
        if not self._text.startswith('"', self._position):
            raise self._malformed("a name in double quotes is expected", self._position)
        try:
            name, end = _scan_string(self._text, self._position + 1, True)
        except json.JSONDecodeError as error:
            raise self._malformed(error.msg, error.pos) from None
        end = self._skip(end)
        if not self._text.startswith(":", end):
            raise self._malformed("':' is expected", end)
        self._position = self._skip(end + 1)
        return str(name)

    def next_element(self) -> bool:
        """Go to the next element; False: past the end of the array."""
        return self._go_on("]")

    def cut(self) -> str:
        """Return the text of the value here and go past it. Raises OversizedError."""
        begin, size = self._position, _FIRST_WINDOW_CHARS
        while True:
            size = min(size, self._limit_chars + 1)
            window = self._text[begin : begin + size]
            end = self._scan(window, begin)
            if end is not None:
                self._position = begin + end
                self._is_first = False
                return window[:end]
            if size > self._limit_chars:
                raise OversizedError
            size *= _WINDOW_GROWTH

    def finish(self) -> None:
        """Check that nothing follows."""
        end = self._skip(self._position)
        if end < len(self._text):
            raise self._malformed("nothing may follow", end)

    def _scan(self, window: str, begin: int) -> int | None:
        """Return where the value ends; None if not in this window."""
        is_whole = begin + len(window) == len(self._text)
        try:
            _, end = _scan(window, 0)
        except RecursionError:
            raise MalformedError("the body is nested too deeply; send a flatter value") from None
        except (StopIteration, json.JSONDecodeError) as error:
            message, position = (
                (error.msg, error.pos) if isinstance(error, json.JSONDecodeError) else ("a value is expected", error.value)
            )
            is_cut = position >= len(window) - _TOKEN_CHARS or message.startswith("Unterminated string")
            if is_whole or not is_cut:
                raise self._malformed(message, begin + position) from None
            return None
        return int(end) if is_whole or end < len(window) else None

    def _go_on(self, bracket: str) -> bool:
        """Go to what comes next in an object or array; False: past its closing bracket."""
        position = self._skip(self._position)
        if self._text.startswith(bracket, position):
            self._position = position + 1
            self._is_first = False
            return False
        if not self._is_first:
            if not self._text.startswith(",", position):
                raise self._malformed(f"',' or '{bracket}' is expected", position)
            position = self._skip(position + 1)
        if position == len(self._text) or self._text.startswith(bracket, position):
            raise self._malformed("a value is expected", position)
        self._position = position
        self._is_first = False
        return True

    def _skip(self, position: int) -> int:
        if self._text[position : position + 1] > " ":
            return position
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def _malformed(self, message: str, position: int) -> MalformedError:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        return MalformedError(f"the body is not JSON: {message} (line {line} column {column})")
