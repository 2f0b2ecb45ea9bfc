"""Deleting, so that nothing of the words is left.

A turn that goes takes the bot's replies to it along; what was said after them stays, behind what was said before.
In SQLite the words of deleted rows would still lie in the file: in the full-text index, in pages that a split left
half used, in the write-ahead log. ``erase_traces`` rewrites all three. That is minutes' work for nobody: a second
for a hundred thousand turns. The ids of what went stay, so that a model which was trained on it can be found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage import people, search
from storage.database import Database
from storage.errors import StorageError
from storage.schema import (
    ChatRow,
    ConversationRow,
    DecisionRow,
    ErasedRow,
    IdentityRow,
    IncomingRow,
    OutgoingRow,
    PersonRow,
    PlaceRow,
    TaughtRow,
    TurnRow,
)

_CHUNK = 500


def delete_turn(session: Session, turn_id: int) -> int:
    """Delete a turn, and the bot's replies to it where a person said it; return how many turns went."""
    turn = session.get(TurnRow, turn_id)
    if turn is None:
        return 0
    replies: Iterable[int] = ()
    _lock(session, turn.conversation_id)
    if turn.speaker == "person":
        replies = session.scalars(select(TurnRow.id).where(TurnRow.parent_id == turn_id, TurnRow.speaker == "bot"))
    return delete_turns(session, turn.conversation_id, {turn_id, *replies})


def delete_conversations(session: Session, numbers: Collection[int]) -> int:
    """Delete conversations of these numbers, whole; return how many turns went."""
    turns = 0
    for chunk in _chunks(numbers):
        _bury(session, select(TurnRow.id).where(TurnRow.conversation_id.in_(chunk)))
        turns += _unindex(session, TurnRow.conversation_id.in_(chunk))
        session.execute(delete(ConversationRow).where(ConversationRow.id.in_(chunk)))
    return turns


def delete_older_than(session: Session, moment: datetime) -> int:
    """Delete every turn said before ``moment``; return how many went."""
    whole = session.scalars(select(ConversationRow.id).where(ConversationRow.updated < moment)).all()
    turns = delete_conversations(session, whole)
    for number in session.scalars(select(ConversationRow.id).where(ConversationRow.created < moment)).all():
        old = select(TurnRow.id).where(TurnRow.conversation_id == number, TurnRow.created < moment)
        turns += delete_turns(session, number, set(session.scalars(old)))
    return turns


def delete_person(session: Session, person: str) -> int | None:
    """Delete all that a person said, was answered, rated, taught and consented to; None where nobody is called so.

    What others said in the same conversation stays, and so does the conversation.
    """
    number = people.find(session, person)
    if number is None:
        return None
    identities = session.scalars(select(IdentityRow.key).where(IdentityRow.person_id == number)).all()
    for mail in (IncomingRow, OutgoingRow):
        session.execute(delete(mail).where(mail.person.in_(identities)))
    alone_with_them = [identity.partition(":")[2] for identity in identities]  # a private chat has its person's name
    session.execute(delete(ChatRow).where(ChatRow.chat.in_(alone_with_them)))
    threads = (PlaceRow.place.startswith(f"{chat}/", autoescape=True) for chat in alone_with_them)
    session.execute(delete(PlaceRow).where(or_(PlaceRow.place.in_(alone_with_them), *threads)))
    theirs = select(TurnRow.conversation_id).where(TurnRow.person_id == number)
    involved = or_(ConversationRow.person_id == number, ConversationRow.id.in_(theirs))
    others = select(TurnRow.conversation_id).where(TurnRow.person_id != number)
    shared = session.scalars(select(ConversationRow.id).where(involved, ConversationRow.id.in_(others))).all()
    turns = 0
    for conversation in shared:
        said = select(TurnRow.id).where(TurnRow.conversation_id == conversation, TurnRow.person_id == number)
        turns += delete_turns(session, conversation, set(session.scalars(said)))
    session.execute(
        update(ConversationRow)
        .where(ConversationRow.person_id == number, ConversationRow.id.in_(shared))
        .values(
            person_id=select(TurnRow.person_id)
            .where(TurnRow.conversation_id == ConversationRow.id)
            .order_by(TurnRow.id)
            .limit(1)
            .scalar_subquery()
        )
    )
    alone = session.scalars(select(ConversationRow.id).where(ConversationRow.person_id == number)).all()
    turns += delete_conversations(session, alone)
    _bury(session, select(TaughtRow.turn_id).where(TaughtRow.person_id == number))
    session.execute(delete(PersonRow).where(PersonRow.id == number))
    return turns


def erase_traces(database: Database) -> bool:
    """Rewrite the files of SQLite without what was deleted; False where other programs were in the way.

    Other programs may read and write meanwhile, but for the time that the file is copied. What was not finished is
    marked in the file, and is done when it is next opened. PostgreSQL's own vacuum does the like in its time.
    """
    if database.path is None:
        return True
    try:
        while True:
            with database.session(writes=True) as session:
                is_unfinished = search.merge(session.connection())
            if not is_unfinished:
                break
        return database.rewrite_file()
    except StorageError:
        return False


def delete_turns(session: Session, conversation: int, doomed: set[int]) -> int:
    """Delete turns of one conversation; those behind them move up to the nearest that stays."""
    if not doomed:
        return 0
    place = _lock(session, conversation)
    columns = select(TurnRow.id, TurnRow.parent_id, TurnRow.speaker, TurnRow.person_id)
    rows = session.execute(columns.where(TurnRow.conversation_id == conversation).order_by(TurnRow.id)).all()
    parents: dict[int, int | None] = {row.id: row.parent_id for row in rows}
    doomed = doomed & parents.keys()  # others may have been deleted meanwhile, with all the rest perhaps
    if place is None or not doomed:
        return 0
    if doomed >= parents.keys():
        return delete_conversations(session, [conversation])

    def nearest_kept(number: int | None) -> int | None:
        while number is not None and number in doomed:
            number = parents[number]
        return number

    place.head_id = nearest_kept(place.head_id)
    session.flush()
    for number, parent in parents.items():
        if number not in doomed and parent in doomed:
            session.execute(update(TurnRow).where(TurnRow.id == number).values(parent_id=nearest_kept(parent)))
    voices = {row.id: (row.speaker, row.person_id) for row in rows}
    touched = set(doomed)  # and what the same voice said on: its words may stand in a response that the owner changed
    for number, parent in parents.items():
        if parent in touched and voices[number] == voices[parent]:
            touched.add(number)
    for chunk in _chunks(touched):
        session.execute(delete(DecisionRow).where(DecisionRow.turn_id.in_(chunk)))
    for chunk in _chunks(doomed):
        _bury(session, select(TurnRow.id).where(TurnRow.id.in_(chunk)))
        _unindex(session, TurnRow.id.in_(chunk))
        session.execute(delete(TurnRow).where(TurnRow.id.in_(chunk)))
    kept = select(func.min(TurnRow.created)).where(TurnRow.conversation_id == conversation).scalar_subquery()
    session.execute(update(ConversationRow).where(ConversationRow.id == conversation).values(created=kept))
    return len(doomed)


def _lock(session: Session, conversation: int) -> ConversationRow | None:
    """Keep others from adding turns to a conversation; what is read of it from here on stays as it is."""
    return session.get(ConversationRow, conversation, with_for_update=True)


def _bury(session: Session, turn_ids: Select[int]) -> None:
    """Set a tombstone for each of these turns."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    moment = datetime.now(UTC)
    for chunk in _chunks(session.scalars(turn_ids.distinct()).all()):
        new = insert(ErasedRow).values([{"turn_id": number, "erased": moment} for number in chunk])
        session.execute(
            new.on_conflict_do_update(index_elements=[ErasedRow.turn_id], set_={"erased": new.excluded.erased})
        )


def _chunks(numbers: Collection[int]) -> Iterator[list[int]]:
    """Yield numbers some hundred at a time, the last first: what names another comes before it."""
    remaining = iter(sorted(numbers, reverse=True))
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def _unindex(session: Session, condition: ColumnElement[bool]) -> int:
    """Take turns out of the full-text index; return how many there are."""
    count = 0
    rows = session.execute(select(TurnRow.id, TurnRow.person_id, TurnRow.text).where(condition))
    for chunk in rows.partitions(_CHUNK):
        search.remove(session, (search.IndexedTurn(*row) for row in chunk))
        count += len(chunk)
    return count
