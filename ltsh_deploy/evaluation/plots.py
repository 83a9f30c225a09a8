"""The report's plots, as SVG elements to stand inside a page.

They are written here rather than by a plotting package, so that they take their colours from the page's style sheet:
one picture serves light and dark screens, and can be read on a telephone. Classes named here are coloured by
:mod:`~ltsh_deploy.evaluation.page`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ltsh_deploy.evaluation.comparison import Interval
from ltsh_deploy.evaluation.page_parts import spread

__all__ = ["Row", "curve_plot", "difference_plot", "interval_plot", "share_plot"]

# As wide as a telephone's screen, so that text is not made smaller there.
_WIDTH = 340.0


@dataclass(frozen=True)
class Row:
    """One line of a plot: what it is called, and a number for each part of it."""

    label: str
    parts: tuple[float, ...]


def curve_plot(title: str, curves: Sequence[tuple[Sequence[float], Sequence[float]]], notes: Sequence[str]) -> str:
    """Precision over recall, both in 0..1, in a small square: a curve (recalls, precisions) and a note for each model.

    A curve ends at the last recall that has any precision.
    """
    side, left, top = 130.0, 26.0, 20.0
    parts = [_text(left, 12, title, "label")]
    for value in (0.0, 0.5, 1.0):
        x, y = left + side * value, top + side * (1 - value)
        parts += [_line(left, y, left + side, y, "grid"), _line(x, top, x, top + side, "grid")]
        parts += [
            _text(left - 4, y + 4, f"{value:g}", "tick end"),
            _text(x, top + side + 13, f"{value:g}", "tick middle"),
        ]
    for model, (recalls, precisions) in enumerate(curves):
        points = [(x, y) for x, y in zip(recalls, precisions, strict=True) if y > 0]
        way = " ".join(f"{left + side * x:.1f},{top + side * (1 - y):.1f}" for x, y in points)
        if way:
            parts.append(f'<polyline class="line model{model}" points="{way}"/>')
    for model, note in enumerate(notes):
        y = top + side - 8 - 14 * (len(notes) - 1 - model)
        parts.append(_line(left + 6, y - 3.5, left + 14, y - 3.5, f"line model{model}"))
        parts.append(_text(left + 18, y, note, "tick"))
    return _svg(f"{title}: precision over recall", left + side + 14, top + side + 18, parts)


def interval_plot(
    title: str, bins: Sequence[tuple[str, str]], models: Sequence[Sequence[Interval]], most: float = 100.0
) -> str:
    """A value with its interval for each bin, side by side for each model.

    Args:
        title: for those who cannot see it.
        bins: what each bin is called, and what is written below that.
        models: for each model an interval a bin, in 0..``most``.
        most: the top of the axis.
    """
    left, top, height, bottom = 30.0, 10.0, 170.0, 32.0
    parts = []
    for step in range(6):
        value = most * step / 5
        y = top + height * (1 - step / 5)
        parts += [_line(left, y, _WIDTH, y, "grid"), _text(left - 5, y + 4, f"{value:g}", "tick end")]
    wide = (_WIDTH - left) / max(1, len(bins))
    for i, (label, below) in enumerate(bins):
        middle = left + wide * (i + 0.5)
        parts.append(_text(middle, top + height + 14, label, "label middle"))
        parts.append(_text(middle, top + height + 28, below, "tick middle"))
        for model, intervals in enumerate(models):
            interval = intervals[i]
            if math.isnan(interval.value):
                continue
            x = middle + 16 * (model - (len(models) - 1) / 2)
            y, low, high = (top + height * (1 - v / most) for v in (interval.value, interval.low, interval.high))
            hint = f"{label}: {interval.value:.1f} ({spread(interval.low, interval.high, '.1f')})"
            whisker = "" if math.isnan(low) else _line(x, low, x, high, f"whisker model{model}")
            parts.append(f"<g><title>{escape(hint)}</title>{whisker}")
            parts.append(f'<circle class="dot model{model}" cx="{x:.1f}" cy="{y:.1f}" r="5"/></g>')
    return _svg(title, _WIDTH, top + height + bottom, parts)


def share_plot(title: str, rows: Sequence[Row], names: Sequence[str]) -> str:
    """Bars of equal length, cut as the parts of each row are to each other; part i has the class ``kind`` i."""
    left, step, thick = 118.0, 20.0, 13.0
    parts = []
    for i, row in enumerate(rows):
        y, x, total = 4 + step * i, left, sum(row.parts)
        parts.append(_text(left - 8, y + 11, row.label, "label end"))
        for kind, (name, part) in enumerate(zip(names, row.parts, strict=True)):
            wide = (_WIDTH - left) * part / total if total else 0.0
            if wide > 0:
                hint = f"{row.label}, {name}: {part:g} of {total:g} ({100 * part / total:.1f} %)"
                # A gap of one unit tells neighbours apart whatever their colours; too narrow a part is left whole.
                shown = wide - 1 if wide > 2 else wide
                parts.append(
                    f'<rect class="kind{kind}" x="{x:.2f}" y="{y:.1f}" width="{shown:.2f}" height="{thick:g}">'
                    f"<title>{escape(hint)}</title></rect>"
                )
            x += wide
    return _svg(title, _WIDTH, 8 + step * len(rows), parts)


def difference_plot(title: str, rows: Sequence[tuple[str, Interval]]) -> str:
    """Differences with their intervals, below each other, about a line at zero."""
    left, step = 92.0, 20.0
    ends = [end for _, own in rows for end in (own.low, own.value, own.high) if not math.isnan(end)]
    ticks = _ticks(min(ends, default=0.0), max(ends, default=0.0))
    height = 6 + step * len(rows)

    def place(value: float) -> float:
        return left + (_WIDTH - left - 14) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = []
    for value in ticks:
        x = place(value)
        parts.append(_line(x, 2, x, height, "grid" if value else "axis"))
        parts.append(_text(x, height + 14, f"{value:+g}" if value else "0", "tick middle"))
    for i, (label, interval) in enumerate(rows):
        y = 12 + step * i
        parts.append(_text(left - 8, y + 4, label, "label end"))
        if math.isnan(interval.value):
            continue
        hint = f"{label}: {interval.value:+.2f} ({spread(interval.low, interval.high, '+.2f')})"
        clear = "clear" if interval.low > 0 or interval.high < 0 else "unclear"
        low, high = place(interval.low), place(interval.high)
        whisker = "" if math.isnan(low) else _line(low, y, high, y, "whisker")
        parts.append(f'<g class="{clear}"><title>{escape(hint)}</title>{whisker}')
        parts.append(f'<circle class="dot" cx="{place(interval.value):.1f}" cy="{y:.1f}" r="5"/></g>')
    return _svg(title, _WIDTH, height + 18, parts)


def _ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers that span zero and the interval."""
    low, high = min(low, 0.0), max(high, 0.0)
    span = high - low
    if not 0 < span < math.inf:
        return [-1.0, 0.0, 1.0]
    power = 10.0 ** (math.floor(math.log10(span)) - 1)
    step = next(factor * power for factor in (2, 5, 10, 20, 50) if 4 * factor * power >= span)
    return [step * n for n in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{inside}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>' if text else ""
