"""Charts of plain HTML: no plotting library, font or network, readable on any width, in light and in dark.

Colours are classes (``c0``, ``c1`` ...) of the page's style sheet. Every value is spelled out as text too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Series:
    """Values under one name, one a label; None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Interval:
    """A value between its bounds."""

    low: float
    value: float
    high: float


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
    line = f'<u style="left:{_share(mark[1], largest)}"></u>' if mark else ""
    rows = []
    for number, label in enumerate(labels):
        bars = [
            f'<div class="bar"><span>{line}<i class="c{place}" style="width:{_share(value, largest)}"></i></span>'
            f"<b>{format(value, spelled)}</b></div>"
            for place, one in enumerate(series)
            if (value := one.values[number]) is not None
        ]
        rows.append(f"<dt>{escape(label)}</dt><dd>{''.join(bars)}</dd>")
    note = f"{mark[0]} {format(mark[1], spelled)}" if mark else ""
    return f'<dl class="bars">{"".join(rows)}</dl>' + _legend([one.name for one in series], note)


def column_chart(labels: Sequence[str], series: Sequence[Series], spelled: str = ".0%") -> str:
    """Draw upright columns side by side over each label; the tallest has its value spelled out."""
    largest = max([*(value for one in series for value in one.values if value is not None), 1e-9])
    groups = []
    for number, label in enumerate(labels):
        columns = "".join(
            f'<i class="c{place}" style="height:{_share(one.values[number] or 0.0, largest)}" '
            f'title="{escape(one.name)}: {format(one.values[number] or 0.0, spelled)}"></i>'
            for place, one in enumerate(series)
        )
        groups.append(f"<div><span>{columns}</span><b>{escape(label)}</b></div>")
    legend = _legend([one.name for one in series], f"the tallest column is {format(largest, spelled)}")
    return f'<div class="columns">{"".join(groups)}</div>{legend}'


def interval_chart(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[Interval | None]]], spelled: str
) -> str:
    """Draw intervals around a line at 0, grouped by label; colours go on after that of the reference, ``c0``."""
    known = [interval for _, intervals in series for interval in intervals if interval is not None]
    reach = max([abs(bound) for one in known for bound in (one.low, one.high)] + [1e-9])
    rows = []
    for number, label in enumerate(labels):
        drawn = [
            f'<div class="bar"><span class="both"><u style="left:50%"></u><i class="c{place}" '
            f'style="left:{_place(one.low, reach)};width:{_share(one.high - one.low, 2 * reach)}"></i>'
            f'<s class="c{place}" style="left:{_place(one.value, reach)}"></s></span>'
            f"<b>{format(one.value + 0.0, '+' + spelled)}</b></div>"
            for place, (_, intervals) in enumerate(series, start=1)
            if (one := intervals[number]) is not None
        ]
        rows.append(f"<dt>{escape(label)}</dt><dd>{''.join(drawn)}</dd>")
    return f'<dl class="bars">{"".join(rows)}</dl>' + _legend([name for name, _ in series], "", first=1)


def _legend(names: Sequence[str], note: str, first: int = 0) -> str:
    items = [f'<span><i class="c{n}"></i>{escape(name)}</span>' for n, name in enumerate(names, start=first) if name]
    items += [f"<span>{escape(note)}</span>"] if note else []
    return f'<p class="legend">{"".join(items)}</p>' if items else ""


def _share(value: float, largest: float) -> str:
    return f"{100 * value / largest:.1f}%"


def _place(value: float, reach: float) -> str:
    """Return where a value from ``-reach`` to ``reach`` stands."""
    return f"{50 + 50 * value / reach:.1f}%"
