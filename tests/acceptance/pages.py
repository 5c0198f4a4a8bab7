"""Pages of the documentation: their fenced blocks, and whether what came is what they show."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from tests.standalone_run import ROOT

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
#: A job's id, or a version of a job: an ETag.
_ID: Final = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{18})\b")

#: Stands for anything, alone or in a text.
ANYTHING: Final = "…"
#: What differs from run to run, and what stands for it in a comparison.
_VARYING: Final = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "<time>"),
    (re.compile(r"\b[\w-]+:\d+:[0-9a-f]{6}\b"), "<instance>"),
)
#: Members that are compared by their type alone. (The tests' retries are faster than the default.)
_BY_TYPE: Final = frozenset({"traceback", "done", "backoff_base_s"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `place` is where to look for it."""

    place: str
    language: str
    text: str


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order, those in lists without their indent."""
    text = page.read_text()
    name = page.relative_to(ROOT)
    return [
        Block(f"{name}:{text.count(chr(10), 0, found.start()) + 1}", found["language"], dedent(found["text"]))
        for found in _FENCE.finditer(text)
    ]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Likeness:
    """Compares what a page shows with what came: an id on the page stands for one real id, from its first place on."""

    def __init__(self) -> None:
        self._real_ids: dict[str, str] = {}

    def with_real_ids(self, text: str) -> str:
        """Return the text with the real ids that came so far in the place of those on the page."""
        for shown, real in self._real_ids.items():
            text = text.replace(shown, real)
        return text

    def differences(self, block: Block, real: str) -> str:
        """Return where what came differs from a block, "" if nowhere."""
        match block.language:
            case "json":
                return self._learn(_of_json(json.loads(block.text), real, ids := dict(self._real_ids)), ids)
            case "http":
                return self._learn(_of_http(block.text, real, ids := dict(self._real_ids)), ids)
            case _:
                ids = dict(self._real_ids)
                return self._learn(_of_values(block.text.splitlines(), real.splitlines(), "line", ids), ids)

    def _learn(self, differences: Iterator[str], ids: dict[str, str]) -> str:
        found = "; ".join(differences)
        if not found:
            self._real_ids = ids
        return found


def line_pattern(shown: str) -> re.Pattern[str]:
    """Return a pattern for a line of a log: its numbers are any numbers."""
    return re.compile(re.sub(r"\d+", r"\\d+", re.escape(shown.strip()).replace(re.escape(ANYTHING), ".*")))


def _of_json(shown: Any, real: str, ids: dict[str, str]) -> Iterator[str]:
    try:
        value = json.loads(real)
    except ValueError:
        yield f"no JSON came, but {real!r}"
    else:
        yield from _of_values(shown, value, "", ids)


def _of_http(shown: str, real: str, ids: dict[str, str]) -> Iterator[str]:
    """Compare status line, the headers that are shown, and the body."""
    (shown_status, shown_headers, shown_body), (status, headers, body) = _split(shown), _split(real)
    yield from _of_values(shown_status, status, "status line", ids)
    yield from _of_values(shown_headers, {name: headers.get(name) for name in shown_headers}, "headers", ids)
    if headers.get("content-type", "").startswith("text/event-stream"):
        yield from _of_values(_events(shown_body), _events(body), "events", ids)
    elif shown_body:
        yield from _of_json(json.loads(shown_body), body, ids)


def _split(message: str) -> tuple[str, dict[str, str], str]:
    head, _, body = message.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.splitlines()
    fields = (line.partition(":") for line in lines)
    return status.strip(), {name.lower(): value.strip() for name, _, value in fields}, body.strip()


def _events(stream: str) -> list[dict[str, Any]]:
    """Return the members of each event; data is JSON. Comments, which keep a connection alive, are left out."""
    events = []
    for text in stream.strip().split("\n\n"):
        fields = [line.partition(": ") for line in text.splitlines() if not line.startswith(":")]
        if fields:
            events.append({name: json.loads(value) if name == "data" else value for name, _, value in fields})
    return events


def _of_values(shown: Any, real: Any, where: str, ids: dict[str, str]) -> Iterator[str]:
    match shown, real:
        case "…", _:
            return
        case dict(), dict():
            yield from _of_objects(shown, real, where, ids)
        case list(), list():
            yield from _of_arrays(shown, real, where, ids)
        case str(), str() if _is_same_text(shown, real, ids):
            return
        case _ if type(shown) is not type(real) or isinstance(shown, str) or shown != real:
            yield f"{where}: {real!r}, not {shown!r}"


def _of_objects(shown: dict[str, Any], real: dict[str, Any], where: str, ids: dict[str, str]) -> Iterator[str]:
    if shown.keys() != real.keys():
        yield f"{where}: members {sorted(real)}, not {sorted(shown)}"
    for key in shown.keys() & real.keys():
        if key not in _BY_TYPE or type(shown[key]) is not type(real[key]):
            yield from _of_values(shown[key], real[key], f"{where}.{key}", ids)


def _of_arrays(shown: list[Any], real: list[Any], where: str, ids: dict[str, str]) -> Iterator[str]:
    is_open = shown[-1:] == [ANYTHING]
    items = shown[:-1] if is_open else shown
    if len(real) < len(items) or (len(real) > len(items) and not is_open):
        yield f"{where}: {len(real)} items, not {len(items)}: {real}"
    for number, (item, real_item) in enumerate(zip(items, real, strict=False)):
        yield from _of_values(item, real_item, f"{where}[{number}]", ids)


def _is_same_text(shown: str, real: str, ids: dict[str, str]) -> bool:
    for pattern, name in _VARYING:
        shown, real = pattern.sub(name, shown), pattern.sub(name, real)
    if ANYTHING in shown:
        return re.fullmatch(re.escape(shown).replace(re.escape(ANYTHING), ".*"), real, re.DOTALL) is not None
    if _ID.sub("<id>", shown) != _ID.sub("<id>", real):
        return False
    pairs = zip(_ID.findall(shown), _ID.findall(real), strict=True)
    return all(ids.setdefault(shown_id, real_id) == real_id for shown_id, real_id in pairs)
