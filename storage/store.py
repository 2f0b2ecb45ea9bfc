"""Every query the project makes, by name. Records in and out; one transaction a call.

Queries about persons are in ``people.py`` (``store.people``), those of a messenger's in- and outbox in
``mailbox.py`` (``store.mailbox(bot)``), those about what a model saw in ``provenance.py`` (``store.provenance``),
the owner's decisions in ``decisions.py`` (``store.decisions``), those about whose words are whose in ``voices.py``
(``store.voices``); deleting, searching, exporting and learning have a
file each behind this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy import Select, delete, func, not_, or_, select
from sqlalchemy.orm import Session, joinedload

from storage import erasing, importing, learning, people, search
from storage.database import Database, StorageConfig, storable
from storage.decisions import Decisions
from storage.errors import StorageError
from storage.exports import EXPORT_FORMATS, Talk
from storage.mailbox import Mailbox, find_answer, put
from storage.provenance import Provenance
from storage.records import (
    Conversation,
    Counts,
    Feedback,
    LoggedExchange,
    ModelRatings,
    Outgoing,
    ReplyRecord,
    Turn,
)
from storage.rows import (
    branch_ending_in,
    feedback_on,
    select_conversations,
    to_conversation,
    to_turn,
    turn_row,
)
from storage.saying import Person, Place, append_turn, head_of, person_called, place_called, texts_up_to
from storage.schema import ConversationRow, PersonRow, PlaceRow, RatingRow, ReplyRow, TaughtRow, TurnRow
from storage.voices import Voices

__all__ = ["ConversationStore", "StorageConfig"]

_EXPORT_BATCH = 50  # conversations that are in memory together
_LEARNING_BATCH = 50
# Telegram's groups have negative numbers; a group that said /new talks in the conversation that its place names.
_IS_PRIVATE = not_(
    or_(
        ConversationRow.key.startswith("telegram:-"),
        ConversationRow.key.in_(select(PlaceRow.conversation).where(PlaceRow.place.startswith("-"))),
    )
)
_Result = TypeVar("_Result", int, bool, int | None)


class ConversationStore:
    """Conversations in SQLite or PostgreSQL; safe to share between threads and to open in several processes."""

    def __init__(self, config: StorageConfig) -> None:
        """Open the database, making it and bringing its schema up to date where needed.

        Raises:
            StorageError: it cannot be opened, is locked, is newer than this program, or is no database.
        """
        self._database = Database(config)
        self._session = self._database.session
        self.people = people.People(self._database)
        self.provenance = Provenance(self._database)
        self.decisions = Decisions(self._database)
        self.voices = Voices(self._database)
        if self._database.has_traces():
            erasing.erase_traces(self._database)

    def close(self) -> None:
        self._database.close()

    def mailbox(self, bot: int) -> Mailbox:
        """Return the in- and outbox of the bot of this number."""
        return Mailbox(self._database, bot)

    # Saying

    def add_turn(
        self,
        conversation: str,
        text: str,
        *,
        person: str,
        external_id: str | None = None,
        instead_of: int | None = None,
        now: datetime | None = None,
    ) -> Turn:
        """Store what a person said, behind the conversation's last turn, and return it.

        The conversation and the person are made where they are new. A message with an ``external_id`` that is
        there already is not stored again: the stored turn comes back.

        Args:
            instead_of: id of the turn that this one was edited from; it stays, and this one stands beside it.

        Raises:
            StorageError: there is no such turn as ``instead_of`` in the conversation.
        """
        moment = now or datetime.now(UTC)

        def work(session: Session) -> Turn:
            speaker = person_called(session, person, moment)
            place = place_called(session, conversation, speaker, moment)
            return _say(session, place, speaker, text, moment, external_id, instead_of)

        return self._database.write(work)

    def add_reply(self, turn: Turn, text: str, reply: ReplyRecord, *, now: datetime | None = None) -> Turn:
        """Store the bot's reply to ``turn`` and return it; another reply to the same turn stands beside the first.

        Raises:
            StorageError: the turn was deleted in the meantime.
        """
        moment = now or datetime.now(UTC)

        def work(session: Session) -> Turn:
            asked = session.get(TurnRow, turn.id)
            if asked is None:
                raise StorageError(f"turn {turn.id} of {turn.conversation} is gone; its reply was not stored")
            speaker = Person(asked.person_id, asked.person.key)
            place = place_called(session, asked.conversation.key, speaker, moment)
            return append_turn(session, place, speaker, text, moment, asked.id, reply=reply)

        return self._database.write(work)

    def post_exchange(
        self,
        conversation: str,
        text: str,
        reply_text: str,
        reply: ReplyRecord,
        outgoing: Outgoing,
        *,
        person: str,
        external_id: str | None = None,
        instead_of: int | None = None,
        now: datetime | None = None,
    ) -> tuple[Turn | None, Outgoing]:
        """Store what a person said to a messenger's bot, the reply, and the message that brings it: all or nothing.

        The message enters the outbox, and the update that it answers ends. Where that was answered before, nothing
        is stored: that answer comes back.

        Args:
            external_id, instead_of: see ``add_turn``.

        Returns:
            The reply's turn, None where the answer that was there is none; and the message as the outbox has it.

        Raises:
            StorageError: there is no such turn as ``instead_of`` in the conversation.
        """
        moment = now or datetime.now(UTC)

        def work(session: Session) -> tuple[Turn | None, Outgoing]:
            known = find_answer(session, outgoing)
            if known is not None:
                row = session.get(TurnRow, known.turn_id) if known.turn_id is not None else None
                return (to_turn(row, row.conversation.key) if row is not None else None), known
            speaker = person_called(session, person, moment)
            place = place_called(session, conversation, speaker, moment)
            asked = _say(session, place, speaker, text, moment, external_id, instead_of)
            turn = append_turn(session, place, speaker, reply_text, moment, asked.id, reply=reply)
            return turn, put(session, replace(outgoing, turn_id=turn.id), moment)

        return self._database.write(work)

    def set_head(self, turn_id: int) -> Turn:
        """Go on talking behind this turn: choose another branch. Returns the turn.

        Raises:
            StorageError: there is no such turn.
        """
        with self._session(writes=True) as session:
            row = turn_row(session, turn_id)
            row.conversation.head_id = row.id
            return to_turn(row, row.conversation.key)

    def step_back(self, conversation: str, exchanges: int = 1) -> list[Turn]:
        """Go back behind the last ``exchanges`` messages of a person and their replies; nothing is deleted.

        Returns:
            The turns that are no longer part of the branch, oldest first; none where there was nothing to undo.
        """
        with self._session(writes=True) as session:
            place = session.scalar(
                select(ConversationRow).where(ConversationRow.key == conversation).with_for_update()
            )
            undone: list[TurnRow] = []
            number = place.head_id if place is not None else None
            while number is not None and exchanges > 0:
                row = session.get_one(TurnRow, number)
                undone.append(row)
                number = row.parent_id
                exchanges -= row.speaker == "person"
            if place is not None:
                place.head_id = number
            return [to_turn(row, conversation) for row in reversed(undone)]

    # Judging

    def rate(self, turn_id: int, person: str, value: int | None, *, now: datetime | None = None) -> None:
        """Store what a person thinks of a reply: +1, -1, or None to take it back. Their newer rating replaces it.

        Raises:
            StorageError: there is no such reply.
        """
        if value not in (1, -1, None):
            raise ValueError(f"a rating is 1, -1 or None, got {value}")
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            if turn_row(session, turn_id).speaker != "bot":
                raise StorageError(f"turn {turn_id} is no reply of the bot; only those are rated")
            key = {"turn_id": turn_id, "person_id": people.find_or_add(session, person, moment).id}
            session.execute(delete(RatingRow).filter_by(**key))
            if value is not None:
                session.add(RatingRow(**key, value=value, created=moment))

    def teach(self, turn_id: int, person: str, text: str, *, now: datetime | None = None) -> None:
        """Store what should have been said; the person's newer lesson for the same message replaces it.

        Args:
            turn_id: the person's message, or a reply to it.

        Raises:
            StorageError: there is no such turn, or it answers nothing.
        """
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            asked = turn_row(session, turn_id)
            if asked.speaker == "bot":
                if asked.parent_id is None:
                    raise StorageError(f"turn {turn_id} answers nothing; teach a reply to a message")
                asked = turn_row(session, asked.parent_id)
            key = {"turn_id": asked.id, "person_id": people.find_or_add(session, person, moment).id}
            session.execute(delete(TaughtRow).filter_by(**key))
            session.add(TaughtRow(**key, text=storable(text), created=moment))

    def feedback(self, conversation: str) -> dict[int, Feedback]:
        """Return what people made of a conversation's turns, by turn id; turns without any are left out."""
        with self._session() as session:
            return feedback_on(session, ConversationRow.key == conversation)

    def ratings_by_model(self) -> list[ModelRatings]:
        """Return how often each model's replies were rated good and bad."""
        good = func.sum((RatingRow.value + 1) / 2)
        query = (
            select(ReplyRow.model_id, good, func.count())
            .join(RatingRow, RatingRow.turn_id == ReplyRow.turn_id)
            .group_by(ReplyRow.model_id)
            .order_by(ReplyRow.model_id)
        )
        with self._session() as session:
            return [ModelRatings(model, int(up), count - int(up)) for model, up, count in session.execute(query)]

    # Reading

    def turn(self, turn_id: int) -> Turn | None:
        """Return the turn of this id."""
        with self._session() as session:
            row = session.get(TurnRow, turn_id)
            return to_turn(row, row.conversation.key) if row is not None else None

    def recent_turns(self, conversation: str, limit: int) -> list[Turn]:
        """Return the last ``limit`` turns of the branch that is being talked in, oldest first."""
        with self._session() as session:
            head = session.scalar(select(ConversationRow.head_id).where(ConversationRow.key == conversation))
            return [to_turn(row, conversation) for row in branch_ending_in(session, head, limit)]

    def context(self, conversation: str, limit: int, *, instead_of: int | None = None) -> list[str]:
        """Return the last ``limit`` texts of the branch that is being talked in, or of that before a turn.

        They are what a model reads before the next message, oldest first.
        """
        with self._session() as session:
            if instead_of is None:
                last = head_of(session, conversation)
            else:
                last = session.scalar(select(TurnRow.parent_id).where(TurnRow.id == instead_of))
            return texts_up_to(session, last, limit)

    def branch_to(self, turn_id: int, limit: int) -> list[Turn]:
        """Return a turn and those before it on its branch, at most ``limit``, oldest first; none if it is gone."""
        with self._session() as session:
            branch = branch_ending_in(session, turn_id, limit)
            return [to_turn(row, row.conversation.key) for row in branch]

    def turns(self, conversation: str) -> list[Turn]:
        """Return every turn of a conversation, all branches, in the order they were said."""
        query = select(TurnRow).join(TurnRow.conversation).where(ConversationRow.key == conversation)
        with self._session() as session:
            return [to_turn(row, conversation) for row in session.scalars(query.order_by(TurnRow.id))]

    def alternatives(self, turn_id: int) -> list[Turn]:
        """Return the turns that stand at the same place of the tree, this one among them, oldest first."""
        with self._session() as session:
            row = session.get(TurnRow, turn_id)
            if row is None:
                return []
            beside = _turns_of(row.conversation_id).where(
                TurnRow.parent_id == row.parent_id if row.parent_id is not None else TurnRow.parent_id.is_(None),
                TurnRow.speaker == row.speaker,
            )
            key = row.conversation.key
            return [to_turn(other, key) for other in session.scalars(beside.order_by(TurnRow.id))]

    def conversations(
        self, person: str | None = None, limit: int | None = None, *, in_private: bool = False
    ) -> list[Conversation]:
        """Return conversations, the one talked in last first; those that ``person`` began, where given.

        Args:
            in_private: leave out those that a group talks in.
        """
        query = select_conversations().where(_IS_PRIVATE) if in_private else select_conversations()
        with self._session() as session:
            if person is not None:
                query = query.where(ConversationRow.person_id == people.find(session, person))
            query = query.order_by(ConversationRow.updated.desc(), ConversationRow.id.desc()).limit(limit)
            return [to_conversation(*row) for row in session.execute(query)]

    def find_conversation(
        self, name: str, person: str | None = None, *, in_private: bool = False
    ) -> Conversation | None:
        """Return the conversation of this key, or else the last one talked in of this title, in any case.

        Args:
            person, in_private: see ``conversations``.
        """
        title = func.lower(ConversationRow.title) == func.lower(name)
        query = select_conversations().where(or_(ConversationRow.key == name, title))
        if in_private:
            query = query.where(_IS_PRIVATE)
        with self._session() as session:
            if person is not None:
                query = query.where(ConversationRow.person_id == people.find(session, person))
            query = query.order_by((ConversationRow.key == name).desc(), ConversationRow.updated.desc())
            row = session.execute(query.limit(1)).first()
            return to_conversation(*row) if row is not None else None

    def rename(self, conversation: str, title: str | None) -> bool:
        """Give a conversation a title of at most 200 characters; False where there is none of that name."""
        with self._session(writes=True) as session:
            place = session.scalar(select(ConversationRow).where(ConversationRow.key == conversation))
            if place is None:
                return False
            place.title = storable(title)[:200] if title else None
            return True

    def search(self, words: str, person: str | None = None, limit: int = 50) -> list[Turn]:
        """Return turns in which every one of ``words`` occurs, newest first.

        A word is found whole, in any case, and in scripts without blanks anywhere; ``word*`` finds its beginnings.

        Args:
            person: look only through what this person said and was answered.
        """
        with self._session() as session:
            person_id = people.find(session, person) if person is not None else None
            if person is not None and person_id is None:
                return []
            found = search.find(session, words, person_id, limit)
            query = select(TurnRow).where(TurnRow.id.in_(found)).options(joinedload(TurnRow.conversation))
            return [to_turn(row, row.conversation.key) for row in session.scalars(query.order_by(TurnRow.id.desc()))]

    def counts(self) -> Counts:
        """Return how much is remembered."""
        with self._session() as session:
            tables = (PersonRow, ConversationRow, TurnRow)
            return Counts(*(session.scalars(select(func.count()).select_from(t)).one() for t in tables))

    # Taking along

    def exchanges(self, context_turns: int = 5) -> Iterator[LoggedExchange]:
        """Yield what may be learned from, a conversation at a time, always in the same order.

        Only of people who consent: what they said, what they taught, replies that they rated good, and, as rejected
        examples, those that they rated bad or had made anew.
        """
        with self._session() as session:
            places = learning.conversations_to_learn_from(session)
        waiting = iter(places)
        while batch := dict(islice(waiting, _LEARNING_BATCH)):
            with self._session() as session:
                found = list(learning.exchanges_of(session, batch, context_turns))
            yield from found

    def export(
        self, form: str = "jsonl", *, person: str | None = None, conversation: str | None = None
    ) -> Iterator[str]:
        """Yield conversations as pieces of a file, oldest first; no more than some of them are in memory.

        Args:
            person: only what this person said and was answered.
            form: ``jsonl`` (the corpus format) and ``md`` for the branch talked in, ``json`` and ``csv`` for all.

        Raises:
            StorageError: there is no such form.
        """
        if form not in EXPORT_FORMATS:
            raise StorageError(f"no export as {form!r}; there are {', '.join(EXPORT_FORMATS)}")
        return EXPORT_FORMATS[form](self._talks(person, conversation))

    def _talks(self, person: str | None, conversation: str | None) -> Iterator[Talk]:
        chosen = select(ConversationRow.id).order_by(ConversationRow.id)
        if conversation is not None:
            chosen = chosen.where(ConversationRow.key == conversation)
        name = None
        with self._session() as session:
            if person is not None:
                number = people.find(session, person)
                name = session.scalar(select(PersonRow.key).where(PersonRow.id == number))
                theirs = select(TurnRow.conversation_id).where(TurnRow.person_id == number)
                chosen = chosen.where(ConversationRow.id.in_(theirs))
            numbers = iter(session.scalars(chosen).all())
        while batch := list(islice(numbers, _EXPORT_BATCH)):
            with self._session() as session:
                talks = _load_talks(session, batch)
            for place, turns, branch, feedback in talks:
                if name is not None:  # what others said in a group, or made of it, is not this person's to take along
                    place = replace(place, person=name)  # nor is who began it theirs to name
                    turns, branch = ([turn for turn in some if turn.person == name] for some in (turns, branch))
                    feedback = {number: made.of(name) for number, made in feedback.items()}
                yield place, turns, branch, feedback

    def import_dialogues(self, dialogues: Sequence[importing.Dialogue], *, now: datetime | None = None) -> int:
        """Store dialogues from elsewhere, each under its key; return how many are new or have changed.

        One that is there already is left alone; one that has grown gets its new turns. What has changed is stored
        anew, and the next opening erases the traces of what was there before.
        """
        with self._session(writes=True) as session:
            imported = importing.import_dialogues(session, dialogues, now or datetime.now(UTC))
            if imported.has_erased:
                self._database.mark_traces(session)
            return imported.changed

    # Deleting: when these return, nothing of the words is left in SQLite's files, unless ``has_traces`` says so

    def delete_turn(self, turn_id: int) -> int:
        """Delete a turn, with the bot's replies to it; what was said after them stays. Returns how many went."""
        return self._delete(lambda session: erasing.delete_turn(session, turn_id))

    def delete_conversation(self, conversation: str) -> bool:
        """Delete a conversation with all its turns; False where there is none of that name."""

        def work(session: Session) -> bool:
            numbers = session.scalars(select(ConversationRow.id).where(ConversationRow.key == conversation)).all()
            erasing.delete_conversations(session, numbers)
            return bool(numbers)

        return self._delete(work)

    def delete_older_than(self, moment: datetime) -> int:
        """Delete all turns said before a moment; returns how many."""
        return self._delete(lambda session: erasing.delete_older_than(session, moment))

    def delete_person(self, person: str) -> int | None:
        """Delete all that is known of a person, under all their identities, waiting messages too.

        Returns:
            How many turns went; None where nobody is called so.
        """
        return self._delete(lambda session: erasing.delete_person(session, person))

    def has_traces(self) -> bool:
        """Tell whether another program was in the way of erasing what was deleted; the next opening goes on."""
        return self._database.has_traces()

    def _delete(self, work: Callable[[Session], _Result]) -> _Result:
        with self._session(writes=True) as session:
            result = work(session)
            if result is None or result is False:
                return result
            self._database.mark_traces(session)
        erasing.erase_traces(self._database)
        return result


def _turns_of(conversation_id: int) -> Select[TurnRow]:
    return select(TurnRow).where(TurnRow.conversation_id == conversation_id)


def _say(
    session: Session,
    place: Place,
    speaker: Person,
    text: str,
    moment: datetime,
    external_id: str | None,
    instead_of: int | None,
) -> Turn:
    """Store what a person said; what has its ``external_id`` already stays as it is."""
    if external_id is not None:
        known = session.scalar(_turns_of(place.id).where(TurnRow.external_id == external_id))
        if known is not None:
            return to_turn(known, place.key)
    parent_id = place.head_id if instead_of is None else turn_row(session, instead_of, place).parent_id
    return append_turn(session, place, speaker, text, moment, parent_id, external_id=external_id)


def _load_talks(session: Session, numbers: list[int]) -> list[Talk]:
    """Return all of these conversations; those deleted in the meantime are left out."""
    chosen = ConversationRow.id.in_(numbers)
    places = session.execute(select_conversations().where(chosen).order_by(ConversationRow.id)).all()
    keys = {place.id: place.key for place, _, _ in places}
    turns: dict[int, list[Turn]] = {number: [] for number in keys}
    rows = session.scalars(select(TurnRow).where(TurnRow.conversation_id.in_(keys)).order_by(TurnRow.id))
    for row in rows:
        turns[row.conversation_id].append(to_turn(row, keys[row.conversation_id]))
    feedback = feedback_on(session, chosen)
    return [
        (to_conversation(*found), turns[found[0].id], _branch_in(turns[found[0].id], found[0].head_id), feedback)
        for found in places
    ]


def _branch_in(turns: list[Turn], head_id: int | None) -> list[Turn]:
    """Return those of a conversation's turns that lead to its head, oldest first."""
    by_id = {turn.id: turn for turn in turns}
    branch = []
    while head_id is not None:
        branch.append(by_id[head_id])
        head_id = by_id[head_id].parent_id
    return branch[::-1]
