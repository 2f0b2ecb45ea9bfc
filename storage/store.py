"""Every query the project makes, by name. Records in and out; one transaction a call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import delete, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.database import Database, StorageConfig
from storage.errors import StorageError
from storage.records import Conversation, LoggedExchange, ReplyRecord, Speaker, Turn
from storage.schema import Base, ConversationRow, PersonRow, ReplyRow, TurnRow

__all__ = ["ConversationStore", "StorageConfig"]


class ConversationStore:
    """Conversations in SQLite or PostgreSQL; safe to share between threads and to open in several processes."""

    def __init__(self, config: StorageConfig) -> None:
        """Open the database, making it and bringing its schema up to date where needed.

        Raises:
            StorageError: it cannot be opened, is locked, is newer than this program, or is no database.
        """
        self._database = Database(config)
        self._session = self._database.session

    def close(self) -> None:
        self._database.close()

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
            values = asdict(reply) | {
                "seed": str(reply.seed),
                "settings": _as_json(reply.settings),
                "candidates": _as_json(reply.candidates),
            }
            session.add(ReplyRow(turn_id=row.id, **values))
            session.flush()
            session.refresh(row)
            return _turn(row, place.key)

    def recent_turns(self, conversation: str, limit: int) -> list[Turn]:
        """Return the last ``limit`` turns of the branch that is being talked in, oldest first."""
        with self._session() as session:
            place = session.scalar(select(ConversationRow).where(ConversationRow.key == conversation))
            if place is None or place.head_id is None or limit < 1:
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
            with self._session() as session:
                rows = session.scalars(select(TurnRow).where(TurnRow.conversation_id == number).order_by(TurnRow.id))
                by_id = {row.id: row for row in rows}
            for row in by_id.values():
                context: list[str] = []
                before = row.parent_id
                while before is not None and len(context) < context_turns:
                    context.append(by_id[before].text)
                    before = by_id[before].parent_id
                if context:
                    yield LoggedExchange(key, tuple(reversed(context)), row.text, cast(Speaker, row.speaker))

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
        """Return the conversation, made where it is new, locked against other writers of its turns."""
        query = select(ConversationRow).where(ConversationRow.key == key).with_for_update()
        found = session.scalar(query)
        if found is None:
            self._insert_new(session, PersonRow, key=person, created=moment)
            someone = session.scalars(select(PersonRow.id).where(PersonRow.key == person)).one()
            self._insert_new(session, ConversationRow, key=key, person_id=someone, created=moment, updated=moment)
            found = session.scalars(query).one()
        return found

    @staticmethod
    def _insert_new(session: Session, table: type[Base], **values: Any) -> None:
        """Insert a row unless another process was quicker."""
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        session.execute(insert(table).values(**values).on_conflict_do_nothing())


def _storable(text: str) -> str:
    """Replace what no database takes: NUL (refused by PostgreSQL) and lone surrogates (no UTF-8 form)."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _as_json(value: Any) -> Any:
    """Return a value in JSON's own types; it has no infinities and no NaN, which become null."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _storable(value) if isinstance(value, str) else value


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
