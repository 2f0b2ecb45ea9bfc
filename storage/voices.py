"""What people wrote, and who: what it takes to tell whose words a reply repeats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import select

from storage.database import Database
from storage.schema import ConversationRow, PersonRow, TaughtRow, TurnRow

_BATCH = 5000  # turns that are in memory together


class Said(NamedTuple):
    """Words of one person, and the conversation that they were said in."""

    person: str
    conversation: str
    text: str


class Voices:
    """Queries about everybody's own words; the bot's are nobody's."""

    def __init__(self, database: Database) -> None:
        self._session = database.session

    def all_said(self) -> Iterator[Said]:
        """Yield what people said and taught, in no order."""
        last = 0
        turns = (
            select(TurnRow.id, PersonRow.key, ConversationRow.key, TurnRow.text)
            .join(PersonRow, PersonRow.id == TurnRow.person_id)
            .join(ConversationRow, ConversationRow.id == TurnRow.conversation_id)
            .where(TurnRow.speaker != "bot")
            .order_by(TurnRow.id)
            .limit(_BATCH)
        )
        while True:
            with self._session() as session:
                rows = session.execute(turns.where(TurnRow.id > last)).all()
            yield from (Said(person, place, text) for _, person, place, text in rows)
            if len(rows) < _BATCH:
                break
            last = rows[-1][0]
        lessons = (
            select(PersonRow.key, ConversationRow.key, TaughtRow.text)
            .join(PersonRow, PersonRow.id == TaughtRow.person_id)
            .join(TurnRow, TurnRow.id == TaughtRow.turn_id)
            .join(ConversationRow, ConversationRow.id == TurnRow.conversation_id)
        )
        with self._session() as session:
            taught = session.execute(lessons).all()
        yield from (Said(person, place, text) for person, place, text in taught)
