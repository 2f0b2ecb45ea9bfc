"""Small charts as inline SVG: drawn here, so that a report needs no plotting library, font or network.

Colours are classes (``c0``, ``c1`` ...) of the page's style sheet, so that a chart follows light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 720
_LABELS = 190  # room for the labels at the left
_VALUES = 70  # room for the values at the right
_BAR, _GAP = 15, 12


@dataclass(frozen=True)
class Series:
    """Values under one name, one a label; None where there is none."""

    name: str
    values: Sequence[float | None]


def bar_chart(
    labels: Sequence[str], series: Sequence[Series], spelled: str = ".3f", mark: tuple[str, float] | None = None
) -> str:
    """Draw horizontal bars from 0, grouped by label, each with its value spelled out.

    Args:
        spelled: format of the values, such as ``.3f`` or ``.1%``.
        mark: name and place of a line to compare with, such as chance.
    """
    known = [value for one in series for value in one.values if value is not None]
    largest = max([*known, mark[1] if mark else 0.0, 1e-9])
    room = _WIDTH - _LABELS - _VALUES
    parts: list[str] = []
    y = 0.0
    for number, label in enumerate(labels):
        drawn = [(n, one.values[number]) for n, one in enumerate(series)]
        middle = y + len(drawn) * _BAR / 2
        parts.append(_text(_LABELS - 8, middle, label, anchor="end"))
        for place, value in drawn:
            if value is not None:
                width = room * value / largest
                parts.append(
                    f'<rect class="c{place}" x="{_LABELS}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
                    f'height="{_BAR - 2}"/>'
                )
                parts.append(_text(_LABELS + width + 6, y + _BAR / 2 - 1, format(value, spelled)))
            y += _BAR
        y += _GAP
    if mark is not None:
        x = _LABELS + room * mark[1] / largest
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y:.1f}"/>')
        y += 6
        parts.append(_text(x, y, f"{mark[0]} {format(mark[1], spelled)}", anchor="middle"))
        y += 12
    return _svg(parts, y) + _legend(series)


def column_chart(labels: Sequence[str], series: Sequence[Series], spelled: str = ".0%") -> str:
    """Draw upright columns side by side over each label, with the largest value spelled at the axis."""
    height = 160
    known = [value for one in series for value in one.values if value is not None]
    largest = max([*known, 1e-9])
    left, step = 50, (_WIDTH - 50) / max(1, len(labels))
    width = (step - 4) / max(1, len(series))
    parts = [f'<line class="axis" x1="{left}" x2="{_WIDTH}" y1="{height}" y2="{height}"/>']
    parts += [_text(left - 6, 8, format(largest, spelled), anchor="end"), _text(left - 6, height, "0", anchor="end")]
    for number, label in enumerate(labels):
        x = left + number * step + 2
        for place, one in enumerate(series):
            value = one.values[number]
            if value:
                tall = (height - 8) * value / largest
                parts.append(
                    f'<rect class="c{place}" x="{x + place * width:.1f}" y="{height - tall:.1f}" '
                    f'width="{max(width - 1, 0.5):.1f}" height="{tall:.1f}"/>'
                )
        parts.append(_text(x + (step - 4) / 2, height + 12, label, anchor="middle"))
    return _svg(parts, height + 22) + _legend(series)


def _svg(parts: Sequence[str], height: float) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _legend(series: Sequence[Series]) -> str:
    if not any(one.name for one in series):
        return ""
    items = "".join(f'<span><i class="c{n}"></i>{escape(one.name)}</span>' for n, one in enumerate(series))
    return f'<p class="legend">{items}</p>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
