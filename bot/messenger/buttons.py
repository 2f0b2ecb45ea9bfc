"""The buttons under a reply: good, bad, another one, and left and right through the alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

GOOD, BAD, ANOTHER, LEFT, RIGHT, NOTHING = "good", "bad", "another", "left", "right", "-"
_UP = frozenset("👍❤🔥🥰👏😁🎉🤩🙏👌😍💯🤣🏆😇🤗🫡🆒💘😘😎")
_DOWN = frozenset("👎🤮💩🤡🥱😡🤬🖕🤨💔")


def button_facts(another: str, at: int = 1, of: int = 1) -> dict[str, Any]:
    """Return what the outbox keeps of the buttons under a reply: the ``at``-th of ``of`` alternatives."""
    return {"another": another, "at": at, "of": of}


def keyboard_of(facts: Mapping[str, Any] | None) -> InlineKeyboardMarkup | None:
    """Return the buttons that are described by ``button_facts``."""
    if facts is None:
        return None
    at, of = int(facts["at"]), int(facts["of"])
    rows = [
        [
            InlineKeyboardButton("👍", callback_data=GOOD),
            InlineKeyboardButton("👎", callback_data=BAD),
            InlineKeyboardButton(str(facts["another"]), callback_data=ANOTHER),
        ]
    ]
    if of > 1:
        left = [InlineKeyboardButton("◀", callback_data=LEFT)] if at > 1 else []
        right = [InlineKeyboardButton("▶", callback_data=RIGHT)] if at < of else []
        rows.append([*left, InlineKeyboardButton(f"{at}/{of}", callback_data=NOTHING), *right])
    return InlineKeyboardMarkup(rows)


def rating_of(reactions: list[Mapping[str, Any]]) -> int | None:
    """Return what a person's reactions to a reply mean: +1, -1, or None where they mean neither."""
    for reaction in reactions:
        emoji = str(reaction.get("emoji", "")).removesuffix("\ufe0f")
        if emoji in _UP or emoji in _DOWN:
            return 1 if emoji in _UP else -1
    return None
