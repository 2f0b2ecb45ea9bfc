"""What the owner decided: which exchanges are learned, with which words, and whom to trust.

A decision hangs on the turn and the person that it is about, and goes with either. It is about the very response
that was looked at: a newer lesson in the same place, or a turn that became longer, asks for a new one.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Delete, delete, select
from sqlalchemy.orm import Session

from storage import people
from storage.database import Database, storable
from storage.errors import StorageError
from storage.records import Decision, LoggedExchange
from storage.schema import DecisionRow, PersonRow, StandingRow, TurnRow

_KINDS = {"person": "said", "imported": "said", "taught": "taught", "rated": "judged", "retried": "judged"}


class DecisionKey(NamedTuple):
    """What tells an exchange from all others: its turn, whose word or judgement it is, of which kind, and which."""

    turn_id: int
    person: str
    kind: str
    digest: str


def decision_key(exchange: LoggedExchange) -> DecisionKey:
    """Return the name under which a decision about an exchange is found."""
    digest = hashlib.sha256(exchange.response.encode("utf-8", "replace")).hexdigest()
    return DecisionKey(exchange.turn_id, exchange.person, _KINDS[exchange.origin], digest)


class Decisions:
    """Queries about the owner's decisions."""

    def __init__(self, database: Database) -> None:
        self._session = database.session

    def decide(
        self, exchange: LoggedExchange, is_accepted: bool, text: str | None = None, *, now: datetime | None = None
    ) -> None:
        """Store that an exchange is to be learned, or is not; with ``text`` for its response, where that is given.

        Raises:
            StorageError: its turn or its person is gone.
        """
        with self._session(writes=True) as session:
            if session.get(TurnRow, exchange.turn_id) is None:
                raise StorageError(f"turn {exchange.turn_id} is gone; there is nothing left to decide")
            number = _number(session, exchange.person)
            key = decision_key(exchange)
            session.execute(_delete(key, number))
            session.add(
                DecisionRow(
                    turn_id=key.turn_id,
                    person_id=number,
                    kind=key.kind,
                    is_accepted=is_accepted,
                    text=storable(text) if text is not None else None,
                    digest=key.digest,
                    decided=now or datetime.now(UTC),
                )
            )

    def undecide(self, exchange: LoggedExchange) -> None:
        """Take back what was decided about an exchange."""
        with self._session(writes=True) as session:
            session.execute(_delete(decision_key(exchange), _number(session, exchange.person)))

    def all(self) -> dict[DecisionKey, Decision]:
        """Return every decision under the key of its exchange."""
        query = select(DecisionRow, PersonRow.key).join(PersonRow, PersonRow.id == DecisionRow.person_id)
        with self._session() as session:
            return {
                DecisionKey(row.turn_id, person, row.kind, row.digest): Decision(
                    row.is_accepted, row.text, row.decided
                )
                for row, person in session.execute(query)
            }

    def set_standing(self, person: str, is_trusted: bool | None, *, now: datetime | None = None) -> None:
        """Trust a person's words, or learn nothing of theirs; with None, judge them like anybody new.

        Raises:
            StorageError: nobody is called so.
        """
        with self._session(writes=True) as session:
            number = _number(session, person)
            session.execute(delete(StandingRow).where(StandingRow.person_id == number))
            if is_trusted is not None:
                session.add(StandingRow(person_id=number, is_trusted=is_trusted, decided=now or datetime.now(UTC)))

    def standings(self) -> dict[str, bool]:
        """Return whom the owner trusts (True) or blocks (False), by the name that exchanges call them."""
        query = select(PersonRow.key, StandingRow.is_trusted).join(PersonRow, PersonRow.id == StandingRow.person_id)
        with self._session() as session:
            return {row.key: row.is_trusted for row in session.execute(query)}


def _number(session: Session, person: str) -> int:
    number = people.find(session, person)
    if number is None:
        raise StorageError(f"nobody is called {person!r}; `backchat review --people` lists who is there")
    return number


def _delete(key: DecisionKey, person_id: int) -> Delete:
    place = delete(DecisionRow).where(DecisionRow.turn_id == key.turn_id, DecisionRow.kind == key.kind)
    return place.where(DecisionRow.person_id == person_id)
