"""Bring a database to the newest schema; quick where it is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage.errors import StorageError
from storage.migrations import HEAD
from storage.schema import Base
from storage.search import create_index

_LOCK_KEY = 0x6261636B63686174  # "backchat": whoever holds this advisory lock may change the schema


@dataclass(frozen=True)
class Revision:
    """The revision that a database is at; None where it is empty."""

    id: str | None

    @property
    def is_newest(self) -> bool:
        return self.id == HEAD


def find_revision(connection: Connection, name: str) -> Revision:
    """Return the revision of the database called ``name``.

    Raises:
        StorageError: the schema is newer than this program, or is not ours.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return Revision(None)
    if "alembic_version" not in tables or "conversations" not in tables:
        raise StorageError(
            f"{name}: another program's database (it holds {', '.join(sorted(tables)[:3])}). "
            "Set BACKCHAT_DATABASE to a database of its own"
        )
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = {path.stem.split("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py")}
    if found not in known:
        raise StorageError(
            f"{name}: its schema is {found}, and this version knows up to {HEAD}: a newer Backchat wrote it. "
            "Upgrade Backchat, or set BACKCHAT_DATABASE to another database"
        )
    return Revision(found)


def upgrade(connection: Connection, name: str) -> None:
    """Make the schema, or apply the missing revisions, in the connection's transaction: wholly or not at all.

    Raises:
        StorageError: as ``find_revision``; or rows of the old schema refer to rows that are not there.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    found = find_revision(connection, name)
    if found.is_newest:
        return  # another process was quicker
    if found.id is None:
        _create(connection)
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise StorageError(
            f"{name}: some of its rows refer to rows that are not there, so it was not upgraded. "
            "Restore a copy, or move it away to start anew"
        )


def _create(connection: Connection) -> None:
    """Make the newest schema at once: the revisions lead to the same (a test compares), but Alembic loads slowly."""
    Base.metadata.create_all(connection, checkfirst=False)
    create_index(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
