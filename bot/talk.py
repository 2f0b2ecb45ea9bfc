"""Talk: one conversation as the frontend holds it, and what can be done in it."""

from __future__ import annotations

from collections.abc import Callable

from bot.assembly import new_conversation
from bot.dialogue import Answer, DialogueManager


class Talk:
    """Where one person talks. Not shared between threads.

    Attributes:
        on_text: called with the reply so far.
        is_cancelled: asked between tokens.
    """

    def __init__(self, dialogue: DialogueManager, person: str, conversation: str) -> None:
        self._dialogue = dialogue
        self.person, self.conversation = person, conversation
        self.on_text: Callable[[str], None] | None = None
        self.is_cancelled: Callable[[], bool] = lambda: False

    def say(self, message: str) -> Answer:
        """Say something, and have it answered."""
        return self._dialogue.respond(
            self.conversation,
            message,
            person=self.person,
            on_text=self.on_text,
            is_cancelled=self.is_cancelled,
        )

    def start_over(self) -> None:
        """Go to a new conversation; the old one stays in the memory."""
        self.conversation = new_conversation()
