"""The figures of a run as one picture: bars by contestant, as SVG of its own background, so that it can be read on any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.findings import OURS, Findings, medians, submit_key
from benchmarks.measurements import CONNECTIONS
from benchmarks.report import P50, RATE, Ratio

_WIDTH: Final = 980
_PANEL_WIDTH: Final = 450
_NAME_WIDTH: Final = 108
_BAR_WIDTH: Final = 190
_ROW: Final = 26
_HEAD: Final = 52
_MARGIN: Final = 28
_STYLE: Final = (
    'text{font-family:ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:#0f172a;font-size:13px}'
    ".t{font-size:15px;font-weight:600}.s{font-size:12px;fill:#475569}.o{font-weight:600}"
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One measurement: a value per contestant, ours divided by it, and whether the greater is the better."""

    title: str
    unit: str
    values: Mapping[str, float]
    compared: Mapping[str, float]
    is_more_better: bool = True

    @property
    def height(self) -> int:
        """In pixels."""
        return _HEAD + _ROW * len(self.values)


def draw(findings: Findings, caption: str) -> str:
    """Return the picture. Raises ValueError when nothing was measured that it could show."""
    panels = _panels(findings)
    if not panels:
        raise ValueError("nothing was measured that could be drawn")
    pairs = [panels[at : at + 2] for at in range(0, len(panels), 2)]
    drawn, top = [], _MARGIN
    for pair in pairs:
        drawn += [_draw_panel(panel, _MARGIN + number * (_PANEL_WIDTH + 24), top) for number, panel in enumerate(pair)]
        top += max(panel.height for panel in pair) + _MARGIN
    drawn.append(_text(_MARGIN, top, caption, "s"))
    height = top + _MARGIN
    label = escape("; ".join(_describe(panel) for panel in panels), {'"': "&quot;"})
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    background = f'<rect width="{_WIDTH}" height="{height}" rx="14" fill="#ffffff"/>'
    return "\n".join(
        [f'{head} role="img" aria-label="{label}">', f"<style>{_STYLE}</style>", background, *drawn, "</svg>\n"]
    )


def _panels(findings: Findings) -> list[Panel]:
    shown = (
        ("submit on 64 connections", "requests/s", submit_key(CONNECTIONS), RATE, True),
        ("execute, four workers", "jobs/s", "execute", RATE, True),
        ("end to end over HTTP", "jobs/s", "end-to-end", RATE, True),
        ("round trip, idle, p50: less is better", "ms", "round-trip idle", P50, False),
    )
    return [
        Panel(title, unit, medians(findings.samples[key], column), _compare(findings, key, column), is_more_better)
        for title, unit, key, column, is_more_better in shown
        if key in findings.samples
    ]


def _compare(findings: Findings, key: str, column: Ratio) -> Mapping[str, float]:
    """As the tables do: the median of the ratios of each round."""
    compared = {name: findings.ratios(key, OURS, name, column) for name in findings.samples[key] if name != OURS}
    return {name: median(values) for name, values in compared.items() if values}


def _draw_panel(panel: Panel, left: int, top: int) -> str:
    greatest = max(panel.values.values())
    lines = [_text(left, top + 15, panel.title, "t"), _text(left, top + 34, panel.unit, "s")]
    ranked = sorted(panel.values.items(), key=lambda item: item[1], reverse=panel.is_more_better)
    for number, (name, value) in enumerate(ranked):
        middle = top + _HEAD + _ROW * number + _ROW // 2
        width = max(2.0, _BAR_WIDTH * value / greatest)
        colour = "#2563eb" if name == OURS else "#94a3b8"
        style = "o" if name == OURS else ""
        bar_left = left + _NAME_WIDTH
        lines.append(_text(left, middle + 4, name, style))
        lines.append(f'<rect x="{bar_left}" y="{middle - 9}" width="{width:.1f}" height="18" rx="3" fill="{colour}"/>')
        lines.append(_text(round(bar_left + width + 8), middle + 4, _label(panel, name, value), style))
    return "\n".join(lines)


def _label(panel: Panel, name: str, value: float) -> str:
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{shown} ({_times(panel.compared[name])})" if name in panel.compared else shown


def _times(ratio: float) -> str:
    return f"{ratio:.2f} x" if ratio < 10 else f"{ratio:.0f} x"


def _describe(panel: Panel) -> str:
    values: Sequence[str] = [f"{name} {value:,.1f}" for name, value in panel.values.items()]
    return f"{panel.title}, {panel.unit}: {', '.join(values)}"


def _text(left: float, bottom: float, text: str, style: str) -> str:
    return f'<text x="{left}" y="{bottom}" class="{style}">{escape(text)}</text>'
