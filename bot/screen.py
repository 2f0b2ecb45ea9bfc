"""The one place through which text of people and models goes before a screen shows it."""

from __future__ import annotations

import re

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of the text around it
# Control characters but tab and newline, line separators, lone surrogates.
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}\u2028\u2029\ud800-\udfff\ufeff]")
_ESCAPE_SEQUENCE = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|[PX^_\\]][^\x07\x1b]*(?:\x07|\x1b\\\\|$)|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)


def clean(text: str) -> str:
    """Return ``text`` without what a terminal would obey: escape sequences, controls, bidi overrides.

    Tabs and newlines stay. The result is shown as it is, never as markup: ``rich.text.Text(clean(text))``.
    """
    return _UNSAFE.sub("", _ESCAPE_SEQUENCE.sub("", text))


def clean_line(text: str) -> str:
    """Return ``text`` cleaned and folded to one line."""
    return " ".join(clean(text).split())


def without_direction(text: str) -> str:
    """Return ``text`` with nothing visible in place of each character that would turn the direction of others.

    For a line that is being typed, whose editor counts characters, and shows controls by name.
    """
    return re.sub(f"[{_DIRECTION}]", "\u200b", text)
