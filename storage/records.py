"""What leaves the memory: frozen values, never rows or sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Speaker = Literal["person", "bot", "other"]  # other: in an imported chat, whose voice is not to be learned
Origin = Literal["person", "taught", "rated", "retried", "imported"]


@dataclass(frozen=True)
class ReplyRecord:
    """How a reply came to be: enough to make it again.

    Attributes:
        settings: every decoding setting that it was made with.
        candidates: what else could have been said, best first: text, score, log_prob.
        is_cut: the person stopped it before its end.
    """

    model_id: str
    strategy: str
    seed: int
    tokens: int
    latency_ms: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    candidates: Sequence[Mapping[str, Any]] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        parent_id: the turn it answers or follows; None for the first.
        reply: there for the bot's turns.
        person: who said it; of a bot's turn, whom it answers.
        external_id: its name where it came from, such as a Telegram message.
    """

    id: int
    conversation: str
    parent_id: int | None
    speaker: Speaker
    text: str
    created: datetime
    reply: ReplyRecord | None = None
    person: str = ""
    external_id: str | None = None

    @property
    def model_id(self) -> str | None:
        return self.reply.model_id if self.reply else None


@dataclass(frozen=True)
class Conversation:
    """A conversation as a list shows it. ``person`` is who began it, ``turns`` counts all branches."""

    key: str
    person: str
    created: datetime
    updated: datetime
    turns: int
    title: str | None = None


@dataclass(frozen=True)
class Feedback:
    """What people made of a turn: ratings of a reply, +1 or -1, and better replies to a message, by person."""

    ratings: Mapping[str, int] = field(default_factory=dict)
    taught: Mapping[str, str] = field(default_factory=dict)

    def of(self, person: str) -> Feedback:
        """Return what one person made of it."""
        ratings = {key: value for key, value in self.ratings.items() if key == person}
        return Feedback(ratings, {key: text for key, text in self.taught.items() if key == person})


@dataclass(frozen=True)
class ModelRatings:
    """How often replies of a model were rated good and bad."""

    model_id: str
    good: int
    bad: int


@dataclass(frozen=True)
class Counts:
    """How much is remembered."""

    people: int
    conversations: int
    turns: int


@dataclass(frozen=True)
class Consent:
    """An entry of a person's ledger: learning from what they say was allowed, or no longer is."""

    is_granted: bool
    created: datetime


@dataclass(frozen=True)
class LoggedExchange:
    """A response and the turns before it, oldest first: the shape that training asks of an exchange.

    Attributes:
        conversation: its key.
        origin: a person said the response in a talk with the bot, or in an imported chat; taught it; or it is the
            bot's, and was rated, or retried away.
        turn_id: the turn whose words the response is; of a lesson, the turn it hangs on.
        person: whose word or judgement it is.
        created: when the response was said, or taught.
        is_rejected: a bot's reply that was rated bad or retried away: an example of what not to say, never a target.
        answers: the turn that is answered; what has the same was chosen or rejected in the same place.
        turn_ids: every turn whose words are in it, those of the context too.
        people: everybody whose words are in it, and of the bot's turns those whom it answered.
    """

    conversation: str
    context: tuple[str, ...]
    response: str
    origin: Origin
    turn_id: int
    person: str
    created: datetime
    is_rejected: bool = False
    answers: int = 0
    turn_ids: tuple[int, ...] = ()
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What the owner decided about an exchange. ``text``: the response in their words, where they changed it."""

    is_accepted: bool
    text: str | None
    decided: datetime


@dataclass(frozen=True)
class Incoming:
    """An update of the messenger.

    Attributes:
        chat: messages of one chat are answered in order.
        person: the identity of who sent it, such as ``telegram:123``, so that it can be forgotten.
        payload: the update as JSON.
        attempts: how often work on it was begun.
    """

    update_id: int
    chat: str
    payload: Mapping[str, Any]
    person: str | None = None
    attempts: int = 0


@dataclass(frozen=True)
class Outgoing:
    """A message to send, in parts.

    Attributes:
        update_id: what it answers; an update gets one answer at most.
        options: what the sender needs besides the text, as JSON: the message replied to, buttons.
        turn_id: the reply's turn, where it is one.
        sent: the numbers that the messenger gave to the parts it took, in order.
        id: set by the outbox.
    """

    bot: int
    chat: str
    parts: Sequence[str]
    update_id: int | None = None
    person: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    turn_id: int | None = None
    sent: Sequence[int] = ()
    id: int = 0
