"""Upgrades: every earlier schema, with data in it, becomes the newest; and the short way leads to the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from storage.database import Database
from storage.errors import StorageError
from storage.migrations import HEAD
from storage.schema import Base
from storage.store import ConversationStore, StorageConfig

_MIGRATIONS = Path(__file__).parents[2] / "storage" / "migrations"

# What a program with schema 0001 wrote: two people; a conversation with an edit and two replies to one turn.
DATA_0001 = (
    "INSERT INTO people VALUES (1, 'terminal:ada', '2026-01-01 09:00:00'), (2, 'telegram:7', '2026-01-02 09:00:00')",
    "INSERT INTO conversations VALUES (1, 'ada/1', 1, 4, '2026-01-01 09:00:00', '2026-01-01 09:04:00'), "
    "(2, 'bob/1', 2, 5, '2026-01-02 09:00:00', '2026-01-02 09:00:00')",
    "INSERT INTO turns VALUES (1, 1, NULL, NULL, 'person', 'Is the kettle on?', '2026-01-01 09:00:00')",
    "INSERT INTO turns VALUES (2, 1, 1, NULL, 'bot', 'Not yet.', '2026-01-01 09:01:00')",
    "INSERT INTO turns VALUES (3, 1, 1, NULL, 'bot', 'It sings.', '2026-01-01 09:02:00')",
    "INSERT INTO turns VALUES (4, 1, 3, NULL, 'person', '水开了吗', '2026-01-01 09:04:00')",
    "INSERT INTO turns VALUES (5, 2, NULL, 'update:9', 'person', 'Hello from the bus', '2026-01-02 09:00:00')",
    "INSERT INTO replies VALUES (2, 'm1', 'rank', '18446744073709551617', 3, 1.5, '{\"top_p\": 0.9}', '[]')",
    "INSERT INTO replies VALUES (3, 'm1', 'rank', '2', 3, 2.5, '{}', '[{\"text\": \"It sings.\", \"score\": -1.0}]')",
)

# And what those with 0002 and 0003 added to it.
DATA_0002 = (
    "UPDATE conversations SET title = 'Tea' WHERE id = 1",
    "INSERT INTO consents VALUES (1, 1, TRUE, '2026-02-01 09:00:00')",
    "INSERT INTO ratings VALUES (3, 1, 1, '2026-02-01 09:00:00')",
    "INSERT INTO taught_replies VALUES (1, 1, 'It is.', '2026-02-01 09:00:00')",
    "INSERT INTO chats VALUES (9, '7', '2026-02-01 09:00:00', NULL)",
)
DATA_0003 = ("INSERT INTO places VALUES (9, '7', 'bob/1')",)


def migrate(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with database.session(writes=True, upgrades=True) as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Database]:
    """An open database without any schema."""
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_bring_up_to_date", lambda _: None)
        database = Database(StorageConfig(database_url))
    yield database
    database.close()


@pytest.fixture
def at_0001(empty: Database, database_url: str) -> str:
    migrate(empty, "0001")
    with empty.session(writes=True) as session:
        for statement in DATA_0001:
            session.execute(text(statement))
        if not empty.is_sqlite:  # its counters do not see ids that were given
            for table in ("people", "conversations", "turns"):
                session.execute(text(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"))
    return database_url


def test_a_database_of_0001_keeps_all_that_it_holds(at_0001: str) -> None:
    store = ConversationStore(StorageConfig(at_0001))
    assert [(c.key, c.person, c.turns, c.title) for c in store.conversations()] == [
        ("bob/1", "telegram:7", 1, None),
        ("ada/1", "terminal:ada", 4, None),
    ]
    assert [(t.id, t.parent_id, t.speaker, t.text, t.person) for t in store.turns("ada/1")] == [
        (1, None, "person", "Is the kettle on?", "terminal:ada"),
        (2, 1, "bot", "Not yet.", "terminal:ada"),
        (3, 1, "bot", "It sings.", "terminal:ada"),
        (4, 3, "person", "水开了吗", "terminal:ada"),
    ]
    first, second = (turn.reply for turn in store.turns("ada/1")[1:3])
    assert first is not None
    assert (first.seed, first.settings, first.is_cut) == (2**64 + 1, {"top_p": 0.9}, False)
    assert second is not None
    assert second.candidates == ({"text": "It sings.", "score": -1.0},)
    assert [t.text for t in store.recent_turns("ada/1", 9)] == ["Is the kettle on?", "It sings.", "水开了吗"]
    store.close()


def test_a_database_of_0001_can_all_that_a_new_one_can(at_0001: str) -> None:
    store = ConversationStore(StorageConfig(at_0001))
    assert [t.id for t in store.search("kettle")] == [1]
    assert [t.id for t in store.search("开了", person="terminal:ada")] == [4]
    assert store.people.identities("telegram:7") == ["telegram:7"]
    assert store.add_turn("bob/1", "again", person="telegram:7", external_id="update:9").id == 5
    turn = store.add_turn("bob/1", "and now", person="telegram:7")
    assert (turn.id, turn.parent_id) == (6, 5)
    store.rate(3, "terminal:ada", 1)
    assert store.delete_person("terminal:ada") == 4
    assert [c.key for c in store.conversations()] == ["bob/1"]
    store.close()


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_a_later_database_keeps_what_was_judged_taught_and_allowed(
    at_0001: str, empty: Database, revision: str
) -> None:
    migrate(empty, revision)
    with empty.session(writes=True) as session:
        for statement in (*DATA_0002, *(DATA_0003 if revision == "0003" else ())):
            session.execute(text(statement))
    store = ConversationStore(StorageConfig(at_0001))
    assert [(c.key, c.title) for c in store.conversations()] == [("bob/1", None), ("ada/1", "Tea")]
    assert {(e.response, e.origin) for e in store.exchanges() if not e.is_rejected} == {
        ("水开了吗", "person"),
        ("It is.", "taught"),
        ("It sings.", "rated"),
    }
    assert store.mailbox(9).conversation_at("7") == ("bob/1" if revision == "0003" else None)
    assert store.provenance.erased_turn_ids() == frozenset()
    store.delete_turn(5)
    assert store.provenance.erased_turn_ids() == {5}
    store.close()


def test_an_upgrade_leaves_references_whole(at_0001: str) -> None:
    ConversationStore(StorageConfig(at_0001)).close()
    database = Database(StorageConfig(at_0001))
    if database.is_sqlite:
        with database.session() as session:
            assert session.connection().exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert session.connection().exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_revisions_lead_to_the_schema_that_a_new_database_gets(empty: Database, database_url: str) -> None:
    migrate(empty, "head")
    with empty.session() as session:
        # The full-text index is not among the tables that Alembic knows; the dumps below compare it.
        context = MigrationContext.configure(
            session.connection(),
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_object": lambda _, name, kind, reflected, other: (
                    not str(name).startswith(("turn_words", "ix_turns_words"))
                ),
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def test_revisions_lead_to_the_tables_that_a_new_sqlite_file_gets(tmp_path: Path, monkeypatch: Any) -> None:
    def tables_of(path: Path) -> dict[str, Any]:
        with sqlite3.connect(path) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = {
                name: [
                    sorted(row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})")),
                    sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
                    sorted(
                        row[1:] for row in connection.execute(f"PRAGMA index_list({name})") if "auto" not in row[1]
                    ),
                ]
                for name in names
            }
            found["words"] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'turn_words'").fetchall()
            found["counted"] = sorted(
                name
                for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
                if "AUTOINCREMENT" in sql
            )
            found["revision"] = connection.execute("SELECT * FROM alembic_version").fetchall()
        connection.close()
        return found

    new = Database(StorageConfig(f"sqlite:///{tmp_path / 'new.db'}"))
    new.close()
    monkeypatch.setattr(Database, "_bring_up_to_date", lambda _: None)
    old = Database(StorageConfig(f"sqlite:///{tmp_path / 'old.db'}"))
    migrate(old, "head")
    old.close()
    assert tables_of(tmp_path / "old.db") == tables_of(tmp_path / "new.db")


def test_an_upgrade_that_fails_leaves_the_old_schema(at_0001: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr("storage.search.index_all", fail)
    with pytest.raises(StorageError, match="no room"):
        ConversationStore(StorageConfig(at_0001))
    monkeypatch.undo()
    store = ConversationStore(StorageConfig(at_0001))
    assert [t.text for t in store.turns("bob/1")] == ["Hello from the bus"]
    store.close()


def test_the_newest_revision_is_the_last_file() -> None:
    names = sorted(path.stem for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert names[-1].startswith(HEAD)


def test_rows_that_refer_to_nothing_stop_an_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.db"
    skip: Callable[[Database], None] = lambda _: None  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_bring_up_to_date", skip)
        database = Database(StorageConfig(f"sqlite:///{path}"))
        migrate(database, "0001")
        database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO conversations VALUES (1, 'a', 99, NULL, '2026-01-01', '2026-01-01')")
    connection.close()
    with pytest.raises(StorageError, match="refer to rows that are not there, so it was not upgraded"):
        ConversationStore(StorageConfig(f"sqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    connection.close()
