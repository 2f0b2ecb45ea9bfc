"""How many words a text has, in any script."""

from __future__ import annotations

import re

_LETTER = re.compile(r"[^\W\d_]")
# Scripts without blanks, and how many of their characters make a word on average.
_UNSPACED = (
    (re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 1.5),  # Chinese, Japanese
    (re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"), 4.0),  # Thai, Lao, Burmese, Khmer
)


def count_words(text: str) -> int:
    """Count words: pieces between blanks, and a word for every 1.5 Chinese or Japanese characters or
    4 Thai, Lao, Burmese or Khmer ones."""
    if text.isascii():
        return len(text.split())
    words = 0.0
    for characters, per_word in _UNSPACED:
        text, count = characters.subn(" ", text)
        words += count / per_word
    spaced = sum(1 for piece in text.split() if _LETTER.search(piece) or piece.isdigit())
    return spaced + int(words + 0.5) if words else len(text.split())
