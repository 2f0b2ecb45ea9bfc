"""Alembic revisions of the schema, applied when a database is opened. ``HEAD`` is the newest."""

HEAD = "0004"
