"""Make a text fit for sending: without what no message may hold, in parts that are short enough."""

from __future__ import annotations

from wcwidth import iter_graphemes

from bot.screen import clean

# The server counts code points, clients count UTF-16 units; what fits by the larger count fits by both.
MAX_UNITS = 4096


def units(text: str) -> int:
    """Return the length of ``text`` in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def split_text(text: str, most: int = MAX_UNITS) -> list[str]:
    """Split ``text`` into parts of at most ``most`` UTF-16 units, none of them blank.

    Parts end between words where there are any, else between graphemes. A grapheme larger than a whole message
    (a letter under a thousand accents) is cut where it must be. A text with nothing to show has no parts.
    """
    rest, parts = clean(text).strip(), []
    while rest:
        end = _end_of_part(rest, most)
        part, rest = rest[:end].rstrip(), rest[end:].lstrip()
        if part:
            parts.append(part)
    return parts


def _end_of_part(text: str, most: int) -> int:
    """Return how many characters of ``text`` go into its first part; at least one."""
    if units(text) <= most:
        return len(text)
    fits = _longest_fit(text, most)
    end = blank = 0
    for grapheme in iter_graphemes(text[: fits + 2]):
        if grapheme.isspace():
            blank = end
        if end + len(grapheme) > fits:
            break
        end += len(grapheme)
    return (blank if blank > fits // 2 else end) or fits


def _longest_fit(text: str, most: int) -> int:
    """Return how many characters of ``text``, which is longer, have at most ``most`` units."""
    count = 0
    for at, character in enumerate(text):
        count += 2 if character > "\uffff" else 1
        if count > most:
            return at
    return len(text)
