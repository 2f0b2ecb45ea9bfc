"""What is accepted, and what is said when no model reply can be given."""

from __future__ import annotations

MAX_MESSAGE_CHARACTERS = 1_000_000  # the model reads the newest few hundred; more than this is no message

MODEL_ID = "policy"  # what stands for the model of such words
EMPTY_MESSAGE = "I did not catch that. Say something?"
NOTHING_TO_SAY = "I have no good answer to that. Shall we talk about something else?"


def objection_to(message: str) -> str | None:
    """Return what is said instead of a model's reply, or None where the message can be answered."""
    if not message.strip():
        return EMPTY_MESSAGE
    if len(message) > MAX_MESSAGE_CHARACTERS:
        return f"That is too long for me: {len(message):,} characters. Up to {MAX_MESSAGE_CHARACTERS:,} are fine."
    return None
