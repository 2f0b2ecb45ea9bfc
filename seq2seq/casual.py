"""How people type in a chat: small letters, and no more punctuation than they must.

Corpora are written with more care, and a model that has only read them answers such messages worse. So training
shows some contexts as if they had been typed in a hurry; responses stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HABITS = 4

_LAST_MARKS = re.compile(r"\s*[.!?…。！？]+$")
_MARKS = re.compile(r"[.,!?;:…，。！？、；：]+(?=\s|$)|['’\"]")


def typed_casually(text: str, habit: int) -> str:
    """Return the text as somebody types it in a chat; as it was where nothing else would be left of it.

    Args:
        habit: 0: small letters, no mark at the end; 1: small letters, no apostrophes and no marks but within words;
            2: no mark at the end; 3: small letters.
    """
    typed = text if habit == 2 else text.lower()
    if habit == 1:
        typed = _MARKS.sub("", typed)
    elif habit != 3:
        typed = _LAST_MARKS.sub("", typed)
    return typed.strip() or text


def context_typed_casually(context: Sequence[str], habit: int) -> tuple[str, ...]:
    """Return a context of two who take turns, with what the other one of them said typed casually, the last first."""
    last = len(context) - 1
    return tuple(turn if (last - place) % 2 else typed_casually(turn, habit) for place, turn in enumerate(context))
