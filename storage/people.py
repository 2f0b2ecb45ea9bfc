"""Who talks: persons, the identities they are known by, and what they consent to."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from storage import search
from storage.database import Database, insert_new
from storage.errors import LinkCodeError
from storage.records import Consent
from storage.schema import (
    ConsentRow,
    ConversationRow,
    DecisionRow,
    IdentityRow,
    LinkCodeRow,
    PersonRow,
    RatingRow,
    StandingRow,
    TaughtRow,
    TurnRow,
)

_CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # none that are mistaken for each other
_CODE_LENGTH = 8  # 39 bits, for minutes
_CODE_VALID_FOR = timedelta(minutes=15)


class People:
    """Queries about persons. ``person`` is always one of their identities: ``terminal:ada``, ``telegram:123``."""

    def __init__(self, database: Database) -> None:
        self._session = database.session

    def set_consent(self, person: str, is_granted: bool, *, now: datetime | None = None) -> None:
        """Enter into the person's ledger that all they say, now and before, may be learned from, or may not."""
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            number = find_or_add(session, person, moment).id
            session.add(ConsentRow(person_id=number, is_granted=is_granted, created=moment))

    def has_consent(self, person: str) -> bool:
        """Tell whether the person's newest entry is a grant; nobody consents by saying nothing."""
        with self._session() as session:
            number = find(session, person)
            return number is not None and number in consenting(session, PersonRow.id == number)

    def consents(self, person: str) -> list[Consent]:
        """Return the person's ledger, oldest entry first."""
        with self._session() as session:
            entries = session.scalars(
                select(ConsentRow).where(ConsentRow.person_id == find(session, person)).order_by(ConsentRow.id)
            )
            return [Consent(entry.is_granted, entry.created) for entry in entries]

    def identities(self, person: str) -> list[str]:
        """Return all names of the person, the oldest first; none where nobody has that name."""
        with self._session() as session:
            known = select(IdentityRow.key).where(IdentityRow.person_id == find(session, person))
            return list(session.scalars(known.order_by(IdentityRow.created, IdentityRow.key)))

    def new_link_code(
        self, person: str, *, valid_for: timedelta = _CODE_VALID_FOR, now: datetime | None = None
    ) -> str:
        """Return a code with which another identity becomes this person's, once; older codes are void."""
        moment = now or datetime.now(UTC)
        code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
        with self._session(writes=True) as session:
            number = find_or_add(session, person, moment).id
            session.execute(delete(LinkCodeRow).where(LinkCodeRow.person_id == number))
            session.add(LinkCodeRow(digest=_digest(code), person_id=number, expires=moment + valid_for))
        return code

    def link(self, code: str, identity: str, *, now: datetime | None = None) -> list[str]:
        """Make ``identity``, and all that was said under it, the person's who asked for ``code``.

        Where one of the two had consented to learning and the other had not, consent must be given anew.

        Returns:
            All identities of the person.

        Raises:
            LinkCodeError: no such code, or it has expired or was used.
        """
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            row = session.get(LinkCodeRow, _digest(code.strip().upper()), with_for_update=True)
            if row is None or row.expires <= moment:
                raise LinkCodeError("this code is unknown or has expired; ask for a new one with /link")
            kept, linked = row.person_id, find_or_add(session, identity, moment).id
            session.delete(row)
            if kept != linked:
                _merge(session, kept, linked, moment)
            session.flush()
        return self.identities(identity)


def find(session: Session, person: str) -> int | None:
    """Return the number of the person who has this identity."""
    return session.scalar(select(IdentityRow.person_id).where(IdentityRow.key == person))


def find_or_add(session: Session, person: str, moment: datetime) -> PersonRow:
    """Return the person who has this identity, made where they are new."""
    query = (
        select(PersonRow).join(IdentityRow, IdentityRow.person_id == PersonRow.id).where(IdentityRow.key == person)
    )
    found = session.scalar(query)
    if found is None:
        insert_new(session, PersonRow, key=person, created=moment)
        number = session.scalars(select(PersonRow.id).where(PersonRow.key == person)).one()
        insert_new(session, IdentityRow, key=person, person_id=number, created=moment)
        found = session.scalars(query).one()
    return found


def consenting(session: Session, *conditions: ColumnElement[bool]) -> set[int]:
    """Return the numbers of all persons, or those who meet ``conditions``, whose newest entry is a grant."""
    newest = select(func.max(ConsentRow.id)).group_by(ConsentRow.person_id)
    query = select(PersonRow.id).join(ConsentRow, ConsentRow.person_id == PersonRow.id)
    return set(session.scalars(query.where(ConsentRow.id.in_(newest), ConsentRow.is_granted, *conditions)))


def _merge(session: Session, kept: int, linked: int, moment: datetime) -> None:
    """Make all that is person ``linked``'s person ``kept``'s, and take ``linked`` away."""
    had_consent = len(consenting(session, PersonRow.id.in_([kept, linked])))
    theirs = [
        search.IndexedTurn(*row)
        for row in session.execute(
            select(TurnRow.id, TurnRow.person_id, TurnRow.text).where(TurnRow.person_id == linked)
        )
    ]
    search.remove(session, theirs)
    search.add(session, (turn._replace(person_id=kept) for turn in theirs))
    for judged in (RatingRow, TaughtRow):  # where both judged the same turn, the kept person's word stays
        both = select(judged.turn_id).where(judged.person_id == kept)
        session.execute(delete(judged).where(judged.person_id == linked, judged.turn_id.in_(both)))
    _merge_decisions(session, kept, linked)
    for table in (IdentityRow, ConsentRow, ConversationRow, TurnRow, RatingRow, TaughtRow):
        session.execute(update(table).where(table.person_id == linked).values(person_id=kept))
    if had_consent == 1:
        session.add(ConsentRow(person_id=kept, is_granted=False, created=moment))
    session.execute(delete(PersonRow).where(PersonRow.id == linked))


def _merge_decisions(session: Session, kept: int, linked: int) -> None:
    """Let what the owner decided hold for the merged person: of two decisions the kept one's, and a refusal wins."""
    decided = {(row.turn_id, row.kind) for row in session.scalars(select(DecisionRow).filter_by(person_id=kept))}
    for row in session.scalars(select(DecisionRow).filter_by(person_id=linked)).all():
        if (row.turn_id, row.kind) in decided:
            session.delete(row)
        else:
            row.person_id = kept
    standing, other = session.get(StandingRow, kept), session.get(StandingRow, linked)
    if other is not None:
        if standing is None:
            session.add(StandingRow(person_id=kept, is_trusted=other.is_trusted, decided=other.decided))
        elif not other.is_trusted:
            standing.is_trusted, standing.decided = False, max(standing.decided, other.decided)
    session.flush()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
