"""The tables. Nothing outside this package sees them.

Turns form a tree: each names the turn before it, so that another answer to the same turn loses nothing. A
conversation's ``head`` is the last turn of the branch that is being talked in. The full-text index of SQLite stands
beside these tables, in ``search.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        assert value is None or isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Base of all tables."""


class PersonRow(Base):
    """Someone who talks to the bot. ``key`` is the identity that they first came with."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)


class IdentityRow(Base):
    """A name under which a person is known somewhere: ``terminal:ada``, ``telegram:123``."""

    __tablename__ = "identities"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkCodeRow(Base):
    """A code that makes another identity this person's; only its digest is kept."""

    __tablename__ = "link_codes"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    expires: Mapped[datetime] = mapped_column(UtcDateTime)


class ConsentRow(Base):
    """An entry of the ledger of consents to learning; a person's newest entry holds."""

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    is_granted: Mapped[bool]
    created: Mapped[datetime] = mapped_column(UtcDateTime)


class ConversationRow(Base):
    """All turns of one chat. ``person`` is who began it; in a group others may have turns in it too."""

    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_person", "person_id", "updated"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    title: Mapped[str | None] = mapped_column(String(200))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    head_id: Mapped[int | None]
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    updated: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    person: Mapped[PersonRow] = relationship()


class TurnRow(Base):
    """One message.

    ``external_id`` names it where it came from (a Telegram message, say), once. ``person`` is who said it, and of
    the bot's turns whom it answers. Ids are never used again, so that an old button cannot mean a new turn. A parent
    that goes takes no children along: SQLite gives up a chain of more than a thousand.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("conversation_id", "external_id"),
        Index("ix_turns_conversation", "conversation_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("turns.id", ondelete="SET NULL"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    external_id: Mapped[str | None] = mapped_column(String(200))
    speaker: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    conversation: Mapped[ConversationRow] = relationship()
    person: Mapped[PersonRow] = relationship(lazy="joined", innerjoin=True)
    reply: Mapped[ReplyRow | None] = relationship(back_populates="turn", lazy="joined")


class ReplyRow(Base):
    """What is known of how a bot's turn was made. ``is_cut``: the person stopped it before its end."""

    __tablename__ = "replies"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(200), index=True)
    strategy: Mapped[str] = mapped_column(String(20))
    seed: Mapped[str] = mapped_column(String(40))  # larger than SQL's integers may be
    tokens: Mapped[int]
    latency_ms: Mapped[float] = mapped_column(Float)
    is_cut: Mapped[bool] = mapped_column(server_default=false())
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    turn: Mapped[TurnRow] = relationship(back_populates="reply")


class RatingRow(Base):
    """What one person thinks of one reply: +1 or -1."""

    __tablename__ = "ratings"
    __table_args__ = (CheckConstraint("value IN (-1, 1)", name="one_up_or_down"),)

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True)
    value: Mapped[int]
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    person: Mapped[PersonRow] = relationship(lazy="joined", innerjoin=True)


class TaughtRow(Base):
    """What one person says should have been the answer to a turn."""

    __tablename__ = "taught_replies"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True)
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    person: Mapped[PersonRow] = relationship(lazy="joined", innerjoin=True)


class IncomingRow(Base):
    """An update of the messenger; ``payload`` goes when it is done, the number stays to know it again."""

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_state", "bot", "state", "update_id"),)

    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    update_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    chat: Mapped[str] = mapped_column(String(100), index=True)
    person: Mapped[str | None] = mapped_column(String(200), index=True)
    payload: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int]
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)


class OutgoingRow(Base):
    """A message on its way out, in parts; at most one for an update. ``parts`` go when all are sent."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("bot", "update_id"),
        Index("ix_outbox_state", "bot", "state", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    bot: Mapped[int] = mapped_column(BigInteger)
    update_id: Mapped[int | None] = mapped_column(BigInteger)
    chat: Mapped[str] = mapped_column(String(100), index=True)
    person: Mapped[str | None] = mapped_column(String(200), index=True)
    turn_id: Mapped[int | None] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), index=True)
    parts: Mapped[list[str]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(10))
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    finished: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SentRow(Base):
    """A message that the messenger took: the number it gave to a part of an outgoing message."""

    __tablename__ = "sent_messages"

    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    chat: Mapped[str] = mapped_column(String(100), primary_key=True)
    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    outgoing_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), index=True)


class ChatRow(Base):
    """A chat that has written to the bot; ``unreachable_since`` where it blocked the bot or is gone."""

    __tablename__ = "chats"

    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    chat: Mapped[str] = mapped_column(String(100), primary_key=True)
    created: Mapped[datetime] = mapped_column(UtcDateTime)
    unreachable_since: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PlaceRow(Base):
    """Which conversation is being talked in at a place of the messenger: a chat, or a thread of one."""

    __tablename__ = "places"

    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    place: Mapped[str] = mapped_column(String(100), primary_key=True)
    conversation: Mapped[str] = mapped_column(String(200))


class ErasedRow(Base):
    """A tombstone: a turn of this id was erased, or words that hung on it. Nothing of them is kept."""

    __tablename__ = "erased_turns"

    turn_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    erased: Mapped[datetime] = mapped_column(UtcDateTime)


class DecisionRow(Base):
    """What the owner decided about an exchange: learned or not, and with which words where they changed them.

    ``turn``, ``person`` and ``kind`` say which: the turn whose words the response is, whose word or judgement it is,
    and whether it was said, taught or judged. ``digest`` is that of the response that was looked at: a newer lesson
    in the same place asks for a new decision.
    """

    __tablename__ = "decisions"

    turn_id: Mapped[int] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    is_accepted: Mapped[bool]
    text: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    decided: Mapped[datetime] = mapped_column(UtcDateTime)


class StandingRow(Base):
    """What the owner decided about a person: to trust what they say, or to learn nothing of theirs."""

    __tablename__ = "standings"

    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), primary_key=True)
    is_trusted: Mapped[bool]
    decided: Mapped[datetime] = mapped_column(UtcDateTime)
