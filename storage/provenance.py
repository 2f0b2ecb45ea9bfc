"""Whose words, and which words that are gone: what one asks of a model that lists the turns it was trained on.

Turn ids are never used again, so an id says which words a model saw after the words themselves were erased. Nothing
else is kept of them: from a digest of a conversation's key, say, the chat's number could be found by trying them all.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from storage import people
from storage.database import Database
from storage.schema import ConsentRow, ErasedRow, TaughtRow, TurnRow


class Provenance:
    """Queries about turns by id. A lesson has the id of the turn that it answers."""

    def __init__(self, database: Database) -> None:
        self._session = database.session

    def erased_turn_ids(self, since: datetime | None = None) -> frozenset[int]:
        """Return the turns that were erased, or that a lesson was erased of; those from ``since`` on, where given.

        A turn whose lesson went is still there, and may be learned from anew: a model that was trained after that
        saw nothing that is gone. So ask with the moment at which its words were collected.
        """
        query = select(ErasedRow.turn_id)
        if since is not None:
            query = query.where(ErasedRow.erased >= since)
        with self._session() as session:
            return frozenset(session.scalars(query))

    def withdrawn_turn_ids(self) -> frozenset[int]:
        """Return the turns, and those with a lesson, of people who consented to learning and no longer do."""
        with self._session() as session:
            asked = select(ConsentRow.person_id).distinct()
            unwilling = sorted(set(session.scalars(asked)) - people.consenting(session))
            said = session.scalars(select(TurnRow.id).where(TurnRow.person_id.in_(unwilling)))
            taught = session.scalars(select(TaughtRow.turn_id).where(TaughtRow.person_id.in_(unwilling)))
            return frozenset(said) | frozenset(taught)

    def turn_ids_of(self, person: str) -> frozenset[int]:
        """Return the turns whose words are the person's, and those that they taught a reply to."""
        with self._session() as session:
            number = people.find(session, person)
            said = session.scalars(select(TurnRow.id).where(TurnRow.person_id == number, TurnRow.speaker != "bot"))
            taught = session.scalars(select(TaughtRow.turn_id).where(TaughtRow.person_id == number))
            return frozenset(said) | frozenset(taught)
