"""The one place through which text of people and models goes before a screen shows it."""

from __future__ import annotations

import re

# Control characters but tab and newline, what turns the direction of the text around it, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
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
