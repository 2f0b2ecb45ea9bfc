"""What every message goes through: its turn, the reply's turn, and the context that the model reads.

In SQLAlchemy's Core, with statements made once: half of what a message costs would otherwise be the ORM's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import Select, Table, bindparam, insert, literal, select, update
from sqlalchemy.orm import Session

from storage import people, search
from storage.database import as_json, insert_new, storable
from storage.records import ReplyRecord, Speaker, Turn
from storage.schema import ConversationRow, IdentityRow, PersonRow, ReplyRow, TurnRow

_PEOPLE, _IDENTITIES = cast(Table, PersonRow.__table__), cast(Table, IdentityRow.__table__)
_CONVERSATIONS, _TURNS = cast(Table, ConversationRow.__table__), cast(Table, TurnRow.__table__)
_PERSON = (
    select(_PEOPLE.c.id, _PEOPLE.c.key)
    .join(_IDENTITIES, _IDENTITIES.c.person_id == _PEOPLE.c.id)
    .where(_IDENTITIES.c.key == bindparam("identity"))
)
_PLACE = (
    select(_CONVERSATIONS.c.id, _CONVERSATIONS.c.key, _CONVERSATIONS.c.head_id, _CONVERSATIONS.c.updated)
    .where(_CONVERSATIONS.c.key == bindparam("conversation"))
    .with_for_update()
)
_NEW_TURN = insert(_TURNS).returning(_TURNS.c.id)
_NEW_REPLY = insert(cast(Table, ReplyRow.__table__))
_MOVE_HEAD = (
    update(_CONVERSATIONS)
    .where(_CONVERSATIONS.c.id == bindparam("place"))
    .values(head_id=bindparam("head"), updated=bindparam("moment"))
)


def _select_texts() -> Select[str]:
    branch = (
        select(_TURNS.c.text, _TURNS.c.parent_id, literal(0).label("age"))
        .where(_TURNS.c.id == bindparam("head"))
        .cte("branch", recursive=True)
    )
    before = _TURNS.alias()
    branch = branch.union_all(
        select(before.c.text, before.c.parent_id, branch.c.age + 1)
        .join(branch, before.c.id == branch.c.parent_id)
        .where(branch.c.age + 1 < bindparam("limit"))
    )
    return select(branch.c.text).order_by(branch.c.age.desc())


_TEXTS = _select_texts()
_HEAD = select(_CONVERSATIONS.c.head_id).where(_CONVERSATIONS.c.key == bindparam("conversation"))


class Person(NamedTuple):
    """Who says something; ``key`` is the identity they first came with."""

    id: int
    key: str


class Place(NamedTuple):
    """A conversation, as far as adding turns needs it."""

    id: int
    key: str
    head_id: int | None
    updated: datetime


def person_called(session: Session, identity: str, moment: datetime) -> Person:
    """Return the person who has this identity, made where they are new."""
    found = session.connection().execute(_PERSON, {"identity": identity}).first()
    if found is None:
        row = people.find_or_add(session, identity, moment)
        return Person(row.id, row.key)
    return Person(*found)


def place_called(session: Session, conversation: str, person: Person, moment: datetime) -> Place:
    """Return the conversation of this key, made where it is new, locked against other writers of its turns."""
    connection = session.connection()
    found = connection.execute(_PLACE, {"conversation": conversation}).first()
    if found is None:
        insert_new(session, ConversationRow, key=conversation, person_id=person.id, created=moment, updated=moment)
        found = connection.execute(_PLACE, {"conversation": conversation}).one()
    return Place(*found)


def append_turn(
    session: Session,
    place: Place,
    person: Person,
    text: str,
    moment: datetime,
    parent_id: int | None,
    *,
    external_id: str | None = None,
    reply: ReplyRecord | None = None,
) -> Turn:
    """Add a turn, the bot's where it has a ``reply``; make it the head of its conversation, and let it be found."""
    connection = session.connection()
    speaker: Speaker = "person" if reply is None else "bot"
    kept = storable(text)
    values = {
        "conversation_id": place.id,
        "parent_id": parent_id,
        "person_id": person.id,
        "external_id": external_id,
        "speaker": speaker,
        "text": kept,
        "created": moment,
    }
    number = connection.execute(_NEW_TURN, values).scalar_one()
    if reply is not None:
        reply = _storable_reply(reply)
        connection.execute(_NEW_REPLY, _reply_values(number, reply))
    connection.execute(_MOVE_HEAD, {"place": place.id, "head": number, "moment": max(moment, place.updated)})
    search.add(session, [search.IndexedTurn(number, person.id, kept)])
    return Turn(number, place.key, parent_id, speaker, kept, moment, reply, person.key, external_id)


def texts_up_to(session: Session, turn_id: int | None, limit: int) -> list[str]:
    """Return the texts of a turn and those before it on its branch, at most ``limit``, oldest first."""
    if turn_id is None or limit < 1:
        return []
    return list(session.connection().execute(_TEXTS, {"head": turn_id, "limit": limit}).scalars())


def head_of(session: Session, conversation: str) -> int | None:
    """Return the id of the last turn of the branch that is being talked in."""
    return session.connection().execute(_HEAD, {"conversation": conversation}).scalar()


def _storable_reply(reply: ReplyRecord) -> ReplyRecord:
    candidates = tuple(as_json(candidate) for candidate in reply.candidates)
    return replace(reply, settings=as_json(reply.settings), candidates=candidates)


def _reply_values(turn_id: int, reply: ReplyRecord) -> Mapping[str, object]:
    return {
        "turn_id": turn_id,
        "model_id": reply.model_id,
        "strategy": reply.strategy,
        "seed": str(reply.seed),
        "tokens": reply.tokens,
        "latency_ms": reply.latency_ms,
        "is_cut": reply.is_cut,
        "settings": reply.settings,
        "candidates": list(reply.candidates),
    }
