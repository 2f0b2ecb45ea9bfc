"""The database itself: opening it, one transaction a call, and what its failures mean."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import OperationalError as SQLiteError
from typing import Any, TypeVar

from sqlalchemy import URL, Engine, StaticPool, create_engine, event, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import InstrumentedAttribute, Session

from storage.errors import StorageError
from storage.group_commit import GroupCommit
from storage.migrations.upgrade import find_revision, upgrade
from storage.schema import Base

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
_TRACES = 1  # SQLite's user_version while the file holds traces of deleted text
_HINTS = {
    "locked": "another program holds it; close that, or try again",
    "not a database": "the file is something else; move it away, or set BACKCHAT_DATABASE to another file",
    "malformed": "the file is damaged; restore a copy, or move it away to start anew",
    "readonly": "it, or its folder, may not be written; mend the mode, or talk with --off-record",
    "unable to open": "its folder must exist and be writable; mend that, or talk with --off-record",
    "disk is full": "make room on the disk",
    "disk I/O error": "the disk is full or failing; make room, or move the file to another disk",
    "refused": "is the server running, and the address right?",
    "lock timeout": "another program holds it; try again",
    "timeout expired": "the server did not answer; is it running, and the address right?",
    "No such file": "is the server running, and the address right?",
    "does not exist": "make it with the server's own tools, or mend BACKCHAT_DATABASE",
    "authentication failed": "mend the user and password in BACKCHAT_DATABASE",
}
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class StorageConfig:
    """Where the memory is: any SQLAlchemy URL. ``busy_timeout_s`` bounds the wait for other writers."""

    url: str
    busy_timeout_s: float = 30.0


class Database:
    """An open database with the newest schema; safe to share between threads.

    ``name`` is what messages call it: the file, or the address without its password.

    Raises:
        StorageError: it cannot be opened, is locked, is newer than this program, or is no database of ours.
    """

    def __init__(self, config: StorageConfig) -> None:
        url = _parse(config.url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        is_in_memory = self.is_sqlite and url.database in (None, "", ":memory:")
        self.path = Path(url.database) if self.is_sqlite and url.database and not is_in_memory else None
        shown = url.difference_update_query(["password"])  # the driver takes it there too
        self.name = str(self.path) if self.path else shown.render_as_string(hide_password=True)
        try:
            self.engine = _sqlite_engine(url, config, is_in_memory) if self.is_sqlite else _server_engine(url, config)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise _unusable(self.name, error) from error
        if self.path is not None:
            _make_private_file(self.path)
        # One connection is all that a database in memory has. Writers of a file wait here for each other: SQLite lets
        # them sleep and try again, up to 100 ms at a time, so that many threads would mostly sleep.
        self._everybody = threading.Lock() if is_in_memory else nullcontext()
        self._writers = threading.Lock() if self.path is not None else None
        self._patience_s = config.busy_timeout_s
        # A server's own writers share their syncs; SQLite's do so here.
        self._group = GroupCommit(lambda: self.session(writes=True)) if self.path is not None else None
        try:
            self._bring_up_to_date()
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        if self._group is not None:
            self._group.close()
        self.engine.dispose()

    def write(self, work: Callable[[Session], _Result]) -> _Result:
        """Do what many threads do all the time, in a transaction that SQLite's writers share where they can.

        Args:
            work: changes the database and nothing else; see ``GroupCommit.run``.

        Raises:
            StorageError: the database failed or did not answer in time.
        """
        if self._group is not None:
            return self._group.run(work)
        with self.session(writes=True) as session:
            return work(session)

    @contextmanager
    def session(self, *, writes: bool = False, upgrades: bool = False) -> Iterator[Session]:
        """Open a transaction, committed at the end of the block and undone when the block raises.

        One that only reads sees the database as it was at its first query, whatever is deleted meanwhile. Nothing may
        be yielded to a caller from within: a reader that lingers keeps the write-ahead log growing.

        Raises:
            StorageError: the database failed or did not answer in time.
        """
        engine = self.engine.execution_options(backchat_writes=writes, backchat_upgrades=upgrades)
        if not writes and not self.is_sqlite:  # SQLite's readers have it so anyway
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with self._turn(writes), Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DBAPIError as error:
            raise StorageError(self._advice(str(error.orig))) from error
        except UnicodeEncodeError as error:
            raise StorageError(f"{self.name}: a name holds bytes that are no text, and cannot be stored") from error
        except PoolTimeoutError as error:
            raise StorageError(f"{self.name}: too many at once; try again") from error

    @contextmanager
    def _turn(self, writes: bool) -> Iterator[None]:
        """Wait for the other threads of this program that stand in the way."""
        if not writes or self._writers is None:
            with self._everybody:
                yield
            return
        if not self._writers.acquire(timeout=self._patience_s):
            raise StorageError(self._advice("database is locked"))
        try:
            yield
        finally:
            self._writers.release()

    def mark_traces(self, session: Session) -> None:
        """Note, in the transaction that deletes, that the file still holds traces of what was deleted."""
        if self.path is not None:
            session.connection().exec_driver_sql(f"PRAGMA user_version={_TRACES}")

    def has_traces(self) -> bool:
        """Tell whether the file still holds traces of what was deleted."""
        if self.path is None:
            return False
        with self.session() as session:
            return session.connection().exec_driver_sql("PRAGMA user_version").scalar() == _TRACES

    def rewrite_file(self) -> bool:
        """Copy what SQLite's file holds into place anew, and empty the write-ahead log; False where a reader stays.

        Raises:
            StorageError: a writer stays, or the disk has no room for the copy.
        """
        pooled = self.engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        try:
            connection.execute("VACUUM")
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                connection.execute("PRAGMA user_version=0")
        except SQLiteError as error:
            raise StorageError(self._advice(str(error))) from error
        finally:
            pooled.close()
        return not is_busy

    def _bring_up_to_date(self) -> None:
        with self.session() as session:
            if find_revision(session.connection(), self.name).is_newest:
                return
        with self.session(writes=True, upgrades=True) as session:
            upgrade(session.connection(), self.name)

    def _advice(self, problem: str) -> str:
        hint = next((hint for sign, hint in _HINTS.items() if sign in problem), "see `backchat doctor`")
        return f"{self.name}: {problem.strip().splitlines()[0]}: {hint}"


def storable(text: str) -> str:
    """Replace what no database takes: NUL (refused by PostgreSQL) and lone surrogates (no UTF-8 form)."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def as_json(value: Any) -> Any:
    """Return a value in JSON's own types; it has no infinities and no NaN, which become null."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return storable(value) if isinstance(value, str) else value


def insert_for(session: Session) -> Any:
    """Return the function of the session's dialect that makes an insert which knows of conflicts."""
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert


def insert_new(session: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row unless one with its key is there, from another process perhaps; tell whether it was."""
    # Not rowcount: for an insert PostgreSQL's driver does not always tell it.
    new = insert_for(session)(table).values(**values).on_conflict_do_nothing().returning(literal_column("1"))
    return session.execute(new).first() is not None


def insert_all_new(
    session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], key: InstrumentedAttribute[_Result]
) -> list[_Result]:
    """Insert rows unless their keys are there; return the ``key`` of those that were inserted, in no order."""
    if not rows:
        return []
    new = insert_for(session)(table.__table__).on_conflict_do_nothing().returning(key)
    return list(session.connection().execute(new, rows).scalars())


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise _unusable("BACKCHAT_DATABASE", error) from error


def _unusable(name: str, error: Exception) -> StorageError:
    reason = str(error).splitlines()[0]
    return StorageError(
        f"{name}: not a usable database URL ({reason}). SQLite is sqlite:///FILE; "
        "PostgreSQL is postgresql://USER@HOST/NAME and needs the extra: pip install 'backchat[postgres]'"
    )


# Both engines hide parameters from errors: they are what people wrote, and a traceback would show them.


def _server_engine(url: URL, config: StorageConfig) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    patience: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        # PostgreSQL takes 0 for "for ever".
        patience = {
            "connect_timeout": max(2, round(config.busy_timeout_s)),
            "options": f"-c lock_timeout={max(1, round(config.busy_timeout_s * 1000))}",
        }
    return create_engine(url, connect_args=patience, pool_pre_ping=True, hide_parameters=True)


def _sqlite_engine(url: URL, config: StorageConfig, is_in_memory: bool) -> Engine:
    connect_args: dict[str, Any] = {"timeout": config.busy_timeout_s}
    if is_in_memory:
        connect_args["check_same_thread"] = False
        engine = create_engine(url, connect_args=connect_args, poolclass=StaticPool, hide_parameters=True)
    else:
        engine = create_engine(url, connect_args=connect_args, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        if is_in_memory:
            connection.execute("PRAGMA temp_store=MEMORY")  # a large sort must not reach the disk either
        deadline = time.monotonic() + config.busy_timeout_s
        for pragma in _PRAGMAS:
            _execute_patiently(connection, f"PRAGMA {pragma}", deadline)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        # A table that a migration builds anew is dropped first; that must not take the rows that refer to it.
        connection.exec_driver_sql(f"PRAGMA foreign_keys={'OFF' if options.get('backchat_upgrades') else 'ON'}")
        # A writer that begins as a reader cannot wait for another writer; it would fail at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("backchat_writes") else "BEGIN")

    return engine


def _execute_patiently(connection: Any, statement: str, deadline: float) -> None:
    """Repeat a statement while the database is locked: the change to WAL does not honour SQLite's own timeout."""
    while True:
        try:
            connection.execute(statement)
        except SQLiteError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _make_private_file(path: Path) -> None:
    """Make the database file readable by its owner alone; SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be opened for writing ({error.strerror}). Set BACKCHAT_DATABASE or BACKCHAT_HOME to a "
            "place of your own, or talk with --off-record"
        ) from error
