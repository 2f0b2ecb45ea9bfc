"""Styles of a reply. Training tells them from the text of a response and shows some exchanges with the style as a
line in front (Keskar et al. 2019, arXiv:1909.05858); a reply in a style is asked for with the same line."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq.config import STYLES, Style
from seq2seq.words import count_words

_BRIEF_WORDS = 5  # at most
_DETAILED_WORDS = 16  # at least

STYLE_LINES: tuple[Style, ...] = STYLES[1:]  # all but "none"; a dataset's first turns, in this order


def styles_of(response: str) -> list[Style]:
    """Return every style that a response is in; many are in none."""
    words = count_words(response)
    found: dict[Style, bool] = {
        "brief": words <= _BRIEF_WORDS,
        "detailed": words >= _DETAILED_WORDS,
        "curious": response.rstrip().endswith(("?", "？")),
        "cheerful": "!" in response or "！" in response,
    }
    return [style for style in STYLE_LINES if found[style]]


def style_bits(response: str) -> int:
    """Return the styles of a response as bits: bit ``i`` stands for ``STYLE_LINES[i]``."""
    return sum(1 << STYLE_LINES.index(style) for style in styles_of(response))


def with_style(style: Style, persona: Sequence[str]) -> list[str]:
    """Return the lines in front of a context: the style, where one is asked for, then the persona."""
    return [*([] if style == "none" else [style]), *persona]
