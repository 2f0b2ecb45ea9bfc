"""Opening: what is made, what is refused and in which words, and how little it loads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from storage.errors import StorageError
from storage.store import ConversationStore, StorageConfig

_ROOT = Path(__file__).parents[2]


def open_file(path: Path, busy_timeout_s: float = 5.0) -> ConversationStore:
    return ConversationStore(StorageConfig(f"sqlite:///{path}", busy_timeout_s))


def refusal(path: Path) -> str:
    """Return the message with which opening a file is refused."""
    with pytest.raises(StorageError) as caught:
        open_file(path, busy_timeout_s=0.1)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A database with some pages of turns, closed."""
    path = tmp_path / "filled.db"
    store = open_file(path)
    for number in range(40):
        store.add_turn("a", f"{number} " + "word " * 100, person="terminal:ada")
    store.close()
    return path


def test_folder_and_files_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "c.db"
    before = os.umask(0o000)
    try:
        store = open_file(path)
        store.add_turn("a", "hello", person="terminal:ada")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert modes == {"c.db": 0o600, "c.db-wal": 0o600, "c.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_connection_writes_ahead_syncs_fully_and_erases(tmp_path: Path) -> None:
    store = open_file(tmp_path / "c.db")
    with store._session() as session:
        found = [session.connection().exec_driver_sql(f"PRAGMA {name}").scalar() for name in (
            "journal_mode", "synchronous", "secure_delete", "foreign_keys")]  # fmt: skip
    store.close()
    assert found == ["wal", 2, 1, 1]


def test_a_memory_database_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ConversationStore(StorageConfig("sqlite://"))
    store.add_turn("a", "hello", person="terminal:ada")
    assert [turn.text for turn in store.turns("a")] == ["hello"]
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_text_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary " * 500)
    assert "not a database: the file is something else; move it away" in refusal(path)
    assert path.read_text() == "dear diary " * 500


def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    assert "cannot be opened for writing (Is a directory)" in refusal(tmp_path)


def test_a_damaged_file_is_named(filled: Path) -> None:
    content = bytearray(filled.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    filled.write_bytes(content)
    assert "malformed: the file is damaged; restore a copy, or move it away" in refusal(filled)


def test_damage_that_opening_does_not_meet_is_named_when_it_is_read(filled: Path) -> None:
    with sqlite3.connect(filled) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'turns'").fetchone()[0]
    connection.close()
    content = bytearray(filled.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    filled.write_bytes(content)
    store = open_file(filled)
    with pytest.raises(StorageError, match=r"filled\.db: database disk image is malformed: the file is damaged"):
        store.turns("a")
    store.close()


def test_a_truncated_file_is_refused(filled: Path) -> None:
    filled.write_bytes(filled.read_bytes()[:2500])
    assert "damaged" in refusal(filled) or "something else" in refusal(filled)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    assert "another program's database (it holds bookmarks). Set BACKCHAT_DATABASE" in refusal(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    connection.close()


def test_another_program_that_uses_alembic_too_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.execute("CREATE TABLE invoices (amount INTEGER)")
    connection.close()
    assert "another program's database" in refusal(path)


def test_a_newer_schema_asks_for_an_upgrade(filled: Path) -> None:
    with sqlite3.connect(filled) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "its schema is 9999" in refusal(filled)
    assert "Upgrade Backchat" in refusal(filled)


def test_a_locked_new_file_is_refused_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "locked: another program holds it" in refusal(path)
    holder.close()


def test_a_full_disk_is_named_and_nothing_stored_is_lost(filled: Path) -> None:
    def keep_small(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    private = "".join(["auber", "gine "])  # put together, since a traceback shows this file's lines too
    event.listen(Engine, "connect", keep_small)
    try:
        store = open_file(filled)
        with pytest.raises(
            StorageError, match=r"filled\.db: database or disk is full: make room on the disk"
        ) as caught:
            store.add_turn("a", private * 10_000, person="terminal:ada")
        assert len(store.turns("a")) == 40
        store.close()
    finally:
        event.remove(Engine, "connect", keep_small)
    assert private not in "".join(traceback.format_exception(caught.value))  # what people wrote is never logged


@pytest.mark.parametrize("url", ["nonsense", "mysterydb://x/y", "sqlite+nodriver:///x"])
def test_an_unusable_url_says_what_is_usable(url: str) -> None:
    with pytest.raises(StorageError, match="SQLite is sqlite:///FILE") as caught:
        ConversationStore(StorageConfig(url))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["ada:secret@127.0.0.1:1/chat", "ada@127.0.0.1:1/chat?password=secret"])
def test_a_server_that_is_away_is_named_without_its_password(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="is the server running") as caught:
        ConversationStore(StorageConfig(f"postgresql://{url}", busy_timeout_s=1))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_database_on_a_server_is_named(postgres_url: str) -> None:
    missing = postgres_url.replace("/postgres?", "/absent?")
    with pytest.raises(StorageError, match="does not exist: make it"):
        ConversationStore(StorageConfig(missing))


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every account may enter: pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="backchat-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not write")
@pytest.mark.parametrize("what", ["file", "folder", "mounted"])
def test_what_may_not_be_written_is_named(public_folder: Path, what: str) -> None:
    path = public_folder / "c.db"
    open_file(path).close()
    path.chmod(0o644 if what == "file" else 0o666)
    # The process first loads all that lies where only root may read.
    script = (
        "import os, sqlite3, sys\n"
        "from storage.store import ConversationStore, StorageConfig\n"
        "ConversationStore(StorageConfig('sqlite://')).close()\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: ConversationStore(StorageConfig(sys.argv[1])).add_turn('a', 'hello', person='p')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    url = f"sqlite:///{path}" if what != "mounted" else "sqlite:////proc/c.db"
    done = subprocess.run(
        [sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=True, cwd=_ROOT
    )
    expected = {
        "file": f"StorageError {path}: cannot be opened for writing (Permission denied). Set BACKCHAT_DATABASE",
        "folder": f"StorageError {path}: attempt to write a readonly database: it, or its folder, may not be written",
        "mounted": "StorageError /proc/c.db: cannot be opened for writing (No such file or directory)",
    }
    assert done.stdout.startswith(expected[what]), done.stdout + done.stderr


def test_opening_what_is_up_to_date_does_not_load_alembic(filled: Path) -> None:
    script = (
        "import sys\n"
        "from storage.store import ConversationStore, StorageConfig\n"
        "ConversationStore(StorageConfig(sys.argv[1])).close()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('alembic', 'psycopg')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{filled}"],
        capture_output=True, text=True, timeout=60, check=True, cwd=_ROOT,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
