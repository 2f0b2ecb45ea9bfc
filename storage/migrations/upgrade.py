"""Bring a database to the newest schema; quick where it is there already."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage.errors import StorageError
from storage.migrations import HEAD


def upgrade(connection: Connection) -> None:
    """Apply the missing revisions within the connection's transaction.

    Raises:
        StorageError: the schema is newer than this program, or is not ours.
    """
    found = _revision(connection)
    if found == HEAD:
        return
    known = {path.stem.split("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py")}
    if found is not None and found not in known:
        raise StorageError(
            f"the database has schema {found}, this version knows up to {HEAD}: a newer Backchat wrote it. "
            "Upgrade Backchat, or set BACKCHAT_DATABASE to another database"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StorageError(
                f"the database holds other tables ({', '.join(sorted(tables)[:3])}) and none of ours; "
                "set BACKCHAT_DATABASE to a database of its own"
            )
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
