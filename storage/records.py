"""What leaves the memory: frozen values, never rows or sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Speaker = Literal["person", "bot"]


@dataclass(frozen=True)
class ReplyRecord:
    """How a reply came to be: enough to make it again.

    Attributes:
        settings: every decoding setting that it was made with.
        candidates: what else could have been said, best first: text, score, log_prob.
    """

    model_id: str
    strategy: str
    seed: int
    tokens: int
    latency_ms: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    candidates: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Turn:
    """One message. ``parent_id`` is the turn it answers or follows; ``reply`` is there for the bot's turns."""

    id: int
    conversation: str
    parent_id: int | None
    speaker: Speaker
    text: str
    created: datetime
    reply: ReplyRecord | None = None

    @property
    def model_id(self) -> str | None:
        return self.reply.model_id if self.reply else None


@dataclass(frozen=True)
class Conversation:
    """A conversation as a list shows it."""

    key: str
    person: str
    created: datetime
    updated: datetime
    turns: int


@dataclass(frozen=True)
class LoggedExchange:
    """A response and the turns before it, oldest first: the shape that training asks of an exchange."""

    conversation: str
    context: tuple[str, ...]
    response: str
    speaker: Speaker
