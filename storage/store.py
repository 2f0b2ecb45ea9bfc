"""Every query the project makes, by name. Records in and out; one transaction a call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine, create_engine, delete, event, func, literal, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from storage.errors import StorageError
from storage.migrations.upgrade import upgrade
from storage.records import Conversation, LoggedExchange, ReplyRecord, Speaker, Turn
from storage.schema import ConversationRow, PersonRow, ReplyRow, TurnRow


@dataclass(frozen=True)
class StorageConfig:
    """Where the memory is: any SQLAlchemy URL. ``busy_timeout_s`` bounds the wait for other writers."""

    url: str
    busy_timeout_s: float = 30.0


class ConversationStore:
    """Conversations in SQLite or PostgreSQL; safe to share between threads and to open in several processes."""

    def __init__(self, config: StorageConfig) -> None:
        """Open the database, making it and bringing its schema up to date where needed.

        Raises:
            StorageError: it cannot be opened, is locked, is newer than this program, or is no database.
        """
        self._name = _without_password(config.url)
        self._engine = _open_engine(config)
        with self._session(writes=True) as session:
            upgrade(session.connection())

    def close(self) -> None:
        self._engine.dispose()

    def add_turn(
        self,
        conversation: str,
        text: str,
        *,
        person: str,
        external_id: str | None = None,
        now: datetime | None = None,
    ) -> Turn:
        """Store what a person said, behind the conversation's last turn, and return it.

        The conversation and the person are made where they are new. A message with an ``external_id`` that is
        there already is not stored again: the stored turn comes back.
        """
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            place = self._conversation_row(session, conversation, person, moment)
            if external_id is not None:
                known = session.scalar(
                    select(TurnRow).where(TurnRow.conversation_id == place.id, TurnRow.external_id == external_id)
                )
                if known is not None:
                    return _turn(known, conversation)
            row = self._append(session, place, "person", text, moment, external_id)
            return _turn(row, conversation)

    def add_reply(self, turn: Turn, text: str, reply: ReplyRecord, *, now: datetime | None = None) -> Turn:
        """Store the bot's reply to ``turn`` and return it.

        Raises:
            StorageError: the turn was deleted in the meantime.
        """
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            asked = session.get(TurnRow, turn.id)
            if asked is None:
                raise StorageError(f"turn {turn.id} of {turn.conversation} is gone; its reply was not stored")
            place = asked.conversation
            row = self._append(session, place, "bot", text, moment, None, parent_id=asked.id)
            values = asdict(reply) | {"seed": str(reply.seed), "candidates": [dict(c) for c in reply.candidates]}
            session.add(ReplyRow(turn_id=row.id, **values))
            session.flush()
            session.refresh(row)
            return _turn(row, place.key)

    def recent_turns(self, conversation: str, limit: int) -> list[Turn]:
        """Return the last ``limit`` turns of the branch that is being talked in, oldest first."""
        with self._session() as session:
            place = session.scalar(select(ConversationRow).where(ConversationRow.key == conversation))
            if place is None or place.head_id is None:
                return []
            branch = (
                select(TurnRow.id, TurnRow.parent_id, literal(0).label("age"))
                .where(TurnRow.id == place.head_id)
                .cte("branch", recursive=True)
            )
            branch = branch.union_all(
                select(TurnRow.id, TurnRow.parent_id, branch.c.age + 1)
                .join(branch, TurnRow.id == branch.c.parent_id)
                .where(branch.c.age + 1 < limit)
            )
            rows = session.scalars(
                select(TurnRow).join(branch, TurnRow.id == branch.c.id).order_by(branch.c.age.desc())
            )
            return [_turn(row, conversation) for row in rows]

    def turns(self, conversation: str) -> list[Turn]:
        """Return every turn of a conversation, all branches, in the order they were said."""
        with self._session() as session:
            rows = session.scalars(
                select(TurnRow)
                .join(TurnRow.conversation)
                .where(ConversationRow.key == conversation)
                .order_by(TurnRow.id)
            )
            return [_turn(row, conversation) for row in rows]

    def conversations(self, person: str | None = None, limit: int | None = None) -> list[Conversation]:
        """Return conversations, the one talked in last first."""
        count = select(func.count(TurnRow.id)).where(TurnRow.conversation_id == ConversationRow.id).scalar_subquery()
        query = select(ConversationRow, PersonRow.key, count).join(ConversationRow.person)
        if person is not None:
            query = query.where(PersonRow.key == person)
        query = query.order_by(ConversationRow.updated.desc(), ConversationRow.id.desc()).limit(limit)
        with self._session() as session:
            return [
                Conversation(row.key, key, row.created, row.updated, turns)
                for row, key, turns in session.execute(query)
            ]

    def exchanges(self, context_turns: int = 3) -> Iterator[LoggedExchange]:
        """Yield every turn that has one before it, with its context along its branch, a conversation at a time."""
        with self._session() as session:
            places = session.execute(
                select(ConversationRow.id, ConversationRow.key).order_by(ConversationRow.id)
            ).all()
            for number, key in places:
                rows = session.scalars(select(TurnRow).where(TurnRow.conversation_id == number).order_by(TurnRow.id))
                by_id = {row.id: row for row in rows}
                for row in by_id.values():
                    context: list[str] = []
                    before = row.parent_id
                    while before is not None and len(context) < context_turns:
                        context.append(by_id[before].text)
                        before = by_id[before].parent_id
                    if context:
                        speaker = cast(Speaker, row.speaker)
                        yield LoggedExchange(key, tuple(reversed(context)), row.text, speaker)

    def delete_conversation(self, conversation: str) -> bool:
        """Delete a conversation with all its turns; False where there is none of that name."""
        with self._session(writes=True) as session:
            found = session.execute(delete(ConversationRow).where(ConversationRow.key == conversation))
            return bool(cast(Any, found).rowcount)

    def _append(
        self,
        session: Session,
        place: ConversationRow,
        speaker: Speaker,
        text: str,
        moment: datetime,
        external_id: str | None,
        parent_id: int | None = None,
    ) -> TurnRow:
        row = TurnRow(
            conversation_id=place.id,
            parent_id=place.head_id if parent_id is None else parent_id,
            external_id=external_id,
            speaker=speaker,
            text=_storable(text),
            created=moment,
        )
        session.add(row)
        session.flush()
        place.head_id, place.updated = row.id, moment
        return row

    def _conversation_row(self, session: Session, key: str, person: str, moment: datetime) -> ConversationRow:
        place = session.scalar(select(ConversationRow).where(ConversationRow.key == key).with_for_update())
        if place is None:
            someone = session.scalar(select(PersonRow).where(PersonRow.key == person))
            if someone is None:
                someone = PersonRow(key=person, created=moment)
                session.add(someone)
                session.flush()
            place = ConversationRow(key=key, person_id=someone.id, created=moment, updated=moment)
            session.add(place)
            session.flush()
        return place

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Session]:
        engine = self._engine.execution_options(backchat_writes=writes)
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except OperationalError as error:
            raise StorageError(_advice(self._name, str(error.orig))) from error
        except DatabaseError as error:
            raise StorageError(_advice(self._name, str(error.orig))) from error


def _open_engine(config: StorageConfig) -> Engine:
    try:
        url = make_url(config.url)
        if url.get_backend_name() != "sqlite":
            return create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)
        if url.database and url.database != ":memory:":
            _make_private_file(Path(url.database))
        engine = create_engine(url, connect_args={"timeout": config.busy_timeout_s})
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"{_without_password(config.url)}: not a usable database URL ({error}). SQLite is sqlite:///FILE; "
            "PostgreSQL needs the extra: pip install 'backchat[postgres]'"
        ) from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A writer that begins as a reader cannot wait for another writer; it would fail at once.
        is_writer = connection.get_execution_options().get("backchat_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    return engine


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


def _advice(name: str, problem: str) -> str:
    hints = {
        "locked": "another program holds it; close that, or try again",
        "not a database": "the file is something else; move it away, or set BACKCHAT_DATABASE to another file",
        "malformed": "the file is damaged; restore a copy, or move it away to start anew",
        "readonly": "it may not be written; mend its mode, or talk with --off-record",
        "disk is full": "make room on the disk",
        "refused": "is the server running, and the address right?",
    }
    hint = next((hint for sign, hint in hints.items() if sign in problem), "see `backchat doctor`")
    return f"{name}: {problem.strip().splitlines()[0]}: {hint}"


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the database"


def _storable(text: str) -> str:
    """Replace what no database takes: NUL (refused by PostgreSQL) and lone surrogates (no UTF-8 form)."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _turn(row: TurnRow, conversation: str) -> Turn:
    reply = row.reply
    record = None
    if reply is not None:
        settings: Mapping[str, Any] = reply.settings
        record = ReplyRecord(
            reply.model_id,
            reply.strategy,
            int(reply.seed),
            reply.tokens,
            reply.latency_ms,
            settings,
            tuple(reply.candidates),
        )
    return Turn(row.id, conversation, row.parent_id, cast(Speaker, row.speaker), row.text, row.created, record)
