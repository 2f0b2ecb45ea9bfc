"""Which turns were erased, and what the owner decided about what may be learned, and about people."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "erased_turns",
        sa.Column("turn_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("erased", _MOMENT, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("turn_id", sa.Integer, sa.ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("is_accepted", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("decided", _MOMENT, nullable=False),
    )
    op.create_index("ix_decisions_person_id", "decisions", ["person_id"])
    op.create_table(
        "standings",
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("is_trusted", sa.Boolean, nullable=False),
        sa.Column("decided", _MOMENT, nullable=False),
    )
