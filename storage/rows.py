"""From rows to records, and the selections that several queries share."""

from __future__ import annotations

from typing import TypeVar, cast

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.orm import Session, aliased

from storage.errors import StorageError
from storage.records import Conversation, Feedback, ReplyRecord, Speaker, Turn
from storage.saying import Place
from storage.schema import ConversationRow, PersonRow, RatingRow, ReplyRow, TaughtRow, TurnRow

_Judgement = TypeVar("_Judgement", RatingRow, TaughtRow)


def turn_row(session: Session, turn_id: int, place: Place | None = None) -> TurnRow:
    """Return the row of a turn, of the conversation ``place`` where that is given.

    Raises:
        StorageError: there is none.
    """
    row = session.get(TurnRow, turn_id)
    if row is None or (place is not None and row.conversation_id != place.id):
        raise StorageError(f"there is no turn {turn_id}; it may have been deleted. `backchat logs show` lists them")
    return row


def branch_ending_in(session: Session, head_id: int | None, limit: int) -> list[TurnRow]:
    """Return a turn and those before it on its branch, at most ``limit``, oldest first."""
    if head_id is None or limit < 1:
        return []
    branch = (
        select(TurnRow.id, TurnRow.parent_id, literal(0).label("age"))
        .where(TurnRow.id == head_id)
        .cte("branch", recursive=True)
    )
    before = aliased(TurnRow)
    branch = branch.union_all(
        select(before.id, before.parent_id, branch.c.age + 1)
        .join(branch, before.id == branch.c.parent_id)
        .where(branch.c.age + 1 < limit)
    )
    query = select(TurnRow).join(branch, TurnRow.id == branch.c.id).order_by(branch.c.age.desc())
    return list(session.scalars(query))


def feedback_on(session: Session, conversations: ColumnElement[bool]) -> dict[int, Feedback]:
    """Return what people made of the turns of some conversations, by turn id."""
    ratings: dict[int, dict[str, int]] = {}
    taught: dict[int, dict[str, str]] = {}
    for rating in session.scalars(_judgements(RatingRow, conversations)):
        ratings.setdefault(rating.turn_id, {})[rating.person.key] = rating.value
    for lesson in session.scalars(_judgements(TaughtRow, conversations)):
        taught.setdefault(lesson.turn_id, {})[lesson.person.key] = lesson.text
    return {number: Feedback(ratings.get(number, {}), taught.get(number, {})) for number in {**ratings, **taught}}


def _judgements(table: type[_Judgement], conversations: ColumnElement[bool]) -> Select[_Judgement]:
    here = select(TurnRow.id).join(TurnRow.conversation).where(conversations)
    return select(table).where(table.turn_id.in_(here)).order_by(table.turn_id, table.person_id)


def select_conversations() -> Select[ConversationRow, str, int]:
    """Select conversations with the person who began each and the number of its turns."""
    count = select(func.count(TurnRow.id)).where(TurnRow.conversation_id == ConversationRow.id).scalar_subquery()
    return select(ConversationRow, PersonRow.key, count).join(ConversationRow.person)


def to_conversation(row: ConversationRow, person: str, turns: int) -> Conversation:
    return Conversation(row.key, person, row.created, row.updated, turns, row.title)


def to_turn(row: TurnRow, conversation: str) -> Turn:
    return Turn(
        id=row.id,
        conversation=conversation,
        parent_id=row.parent_id,
        speaker=cast(Speaker, row.speaker),
        text=row.text,
        created=row.created,
        reply=_to_reply(row.reply) if row.reply is not None else None,
        person=row.person.key,
        external_id=row.external_id,
    )


def _to_reply(row: ReplyRow) -> ReplyRecord:
    return ReplyRecord(
        model_id=row.model_id,
        strategy=row.strategy,
        seed=int(row.seed),
        tokens=row.tokens,
        latency_ms=row.latency_ms,
        settings=row.settings,
        candidates=tuple(row.candidates),
        is_cut=row.is_cut,
    )
