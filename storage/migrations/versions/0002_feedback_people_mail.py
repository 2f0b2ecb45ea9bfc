"""Titles, ratings, taught replies, consents, linked identities, the messenger's in- and outbox, full-text search."""

import sqlalchemy as sa
from alembic import op

from storage.search import create_index, index_all

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _people()
    _conversations()
    _feedback()
    _mail()
    create_index(op.get_bind())
    index_all(op.get_bind())


def _people() -> None:
    op.create_table(
        "identities",
        sa.Column("key", sa.String(200), primary_key=True),
        _reference("person_id", "people"),
        sa.Column("created", _MOMENT, nullable=False),
    )
    op.create_index("ix_identities_person_id", "identities", ["person_id"])
    op.execute("INSERT INTO identities (key, person_id, created) SELECT key, id, created FROM people")
    op.create_table(
        "link_codes",
        sa.Column("digest", sa.String(64), primary_key=True),
        _reference("person_id", "people"),
        sa.Column("expires", _MOMENT, nullable=False),
    )
    op.create_index("ix_link_codes_person_id", "link_codes", ["person_id"])
    op.create_table(
        "consents",
        sa.Column("id", sa.Integer, primary_key=True),
        _reference("person_id", "people"),
        sa.Column("is_granted", sa.Boolean, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
    )
    op.create_index("ix_consents_person_id", "consents", ["person_id"])


def _conversations() -> None:
    op.add_column("conversations", sa.Column("title", sa.String(200)))
    op.drop_index("ix_conversations_person_id", "conversations")
    op.create_index("ix_conversations_person", "conversations", ["person_id", "updated"])
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_turns()
    else:
        op.add_column("turns", sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE")))
        op.execute("UPDATE turns SET person_id = c.person_id FROM conversations c WHERE c.id = conversation_id")
        op.alter_column("turns", "person_id", nullable=False)
        op.drop_constraint("turns_parent_id_fkey", "turns")
        op.create_foreign_key("turns_parent_id_fkey", "turns", "turns", ["parent_id"], ["id"], ondelete="SET NULL")
    op.create_index("ix_turns_person_id", "turns", ["person_id"])
    op.add_column("replies", sa.Column("is_cut", sa.Boolean, nullable=False, server_default=sa.false()))


def _rebuild_turns() -> None:
    """Build the table anew: SQLite can neither change a foreign key nor add a column without a default."""
    op.create_table(
        "turns_new",
        sa.Column("id", sa.Integer, primary_key=True),
        _reference("conversation_id", "conversations"),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("turns.id", ondelete="SET NULL")),
        _reference("person_id", "people"),
        sa.Column("external_id", sa.String(200)),
        sa.Column("speaker", sa.String(10), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.UniqueConstraint("conversation_id", "external_id"),
        sqlite_autoincrement=True,
    )
    op.execute(
        "INSERT INTO turns_new SELECT t.id, t.conversation_id, t.parent_id, c.person_id, t.external_id, t.speaker, "
        "t.text, t.created FROM turns t JOIN conversations c ON c.id = t.conversation_id ORDER BY t.id"
    )
    op.drop_table("turns")
    op.rename_table("turns_new", "turns")
    op.create_index("ix_turns_conversation", "turns", ["conversation_id", "id"])
    op.create_index("ix_turns_parent_id", "turns", ["parent_id"])


def _feedback() -> None:
    op.create_table(
        "ratings",
        _reference("turn_id", "turns", primary_key=True),
        _reference("person_id", "people", primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.CheckConstraint("value IN (-1, 1)", name="one_up_or_down"),
    )
    op.create_index("ix_ratings_person_id", "ratings", ["person_id"])
    op.create_table(
        "taught_replies",
        _reference("turn_id", "turns", primary_key=True),
        _reference("person_id", "people", primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
    )
    op.create_index("ix_taught_replies_person_id", "taught_replies", ["person_id"])


def _mail() -> None:
    op.create_table(
        "inbox",
        sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("update_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chat", sa.String(100), nullable=False),
        sa.Column("person", sa.String(200)),
        sa.Column("payload", sa.JSON),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("finished", _MOMENT),
    )
    op.create_index("ix_inbox_chat", "inbox", ["chat"])
    op.create_index("ix_inbox_person", "inbox", ["person"])
    op.create_index("ix_inbox_state", "inbox", ["bot", "state", "update_id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bot", sa.BigInteger, nullable=False),
        sa.Column("update_id", sa.BigInteger),
        sa.Column("chat", sa.String(100), nullable=False),
        sa.Column("person", sa.String(200)),
        _reference("turn_id", "turns", nullable=True),
        sa.Column("parts", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("finished", _MOMENT),
        sa.UniqueConstraint("bot", "update_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_chat", "outbox", ["chat"])
    op.create_index("ix_outbox_person", "outbox", ["person"])
    op.create_index("ix_outbox_turn_id", "outbox", ["turn_id"])
    op.create_index("ix_outbox_state", "outbox", ["bot", "state", "id"])
    op.create_table(
        "sent_messages",
        sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chat", sa.String(100), primary_key=True),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        _reference("outgoing_id", "outbox"),
    )
    op.create_index("ix_sent_messages_outgoing_id", "sent_messages", ["outgoing_id"])
    op.create_table(
        "chats",
        sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("chat", sa.String(100), primary_key=True),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("unreachable_since", _MOMENT),
    )


def _reference(name: str, table: str, *, primary_key: bool = False, nullable: bool = False) -> "sa.Column[int]":
    """Return a column that refers to the id of ``table``; its row goes when that one goes."""
    target = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Integer, target, primary_key=primary_key, nullable=nullable)
