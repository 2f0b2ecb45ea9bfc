"""Sentence case without loss: a word has one spelling wherever it stands in a sentence.

A capital letter at the beginning of a sentence says nothing about the word, and makes another word of it to a
tokenizer: "Kitchen" falls apart where "kitchen" is one token. So it is written small inside, and a sentence that
truly begins with a small letter gets a mark in front. Text that is written with care needs no more tokens for that;
marks for every capital need one for each (Berard et al. 2019, arXiv:1910.14589, section 3.2, inline casing).
"""

from __future__ import annotations

import re

SMALL = "\x0e"  # SHIFT OUT, of ASCII: here begins a sentence with a small letter
_BEGINNING = re.compile(rf"(^|[.!?])({SMALL}*) ([^\W\d_]?)")


def fold(text: str) -> str:
    """Write ``text``, which begins with a blank, with small letters at the beginnings of its sentences."""
    return _BEGINNING.sub(_folded, text)


def unfold(text: str) -> str:
    """Give back what ``fold`` was given."""
    return _BEGINNING.sub(_unfolded, text)


def _folded(found: re.Match[str]) -> str:
    before, marks, letter = found.groups()
    marks *= 2  # those of the text itself; an odd one is ours
    small = letter.lower()
    if _is_small(letter):
        marks += SMALL
    elif _is_small(small) and small.upper() == letter and not found.string[found.end() : found.end() + 1].isupper():
        letter = small
    return f"{before}{marks} {letter}"


def _unfolded(found: re.Match[str]) -> str:
    before, marks, letter = found.groups()
    if len(marks) % 2 == 0 and _is_small(letter):
        letter = letter.upper()
    return f"{before}{marks[: len(marks) // 2]} {letter}"


def _is_small(letter: str) -> bool:
    """Return whether it is a small letter whose capital is one letter, and that capital's only small one."""
    capital = letter.upper()
    return len(capital) == 1 and capital != letter and capital.lower() == letter
