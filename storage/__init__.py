"""The memory: conversations in SQLite or PostgreSQL, read and written through named queries."""
