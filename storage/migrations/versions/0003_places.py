"""Which conversation is being talked in at a place of the messenger."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "places",
        sa.Column("bot", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.String(100), primary_key=True),
        sa.Column("conversation", sa.String(200), nullable=False),
    )
