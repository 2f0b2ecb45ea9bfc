"""What a messenger brought and what is to be sent there, kept so that a crash loses and doubles nothing.

An update is received (committed) before the messenger is told that it came, and is known again by its number. Its
answer enters the outbox in the transaction that stores the reply's turn and ends the update. A sent part is noted as
soon as the messenger has taken it; only a crash between these two sends a part twice.

The text of updates and answers goes when they are done; the numbers stay, until ``purge``, to know a message again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, insert, literal, null, select, update
from sqlalchemy.orm import Session

from storage.database import Database, as_json, insert_all_new, insert_for, insert_new
from storage.errors import StorageError
from storage.records import Incoming, Outgoing
from storage.schema import ChatRow, IncomingRow, OutgoingRow, PlaceRow, SentRow

_INBOX, _OUTBOX = cast(Table, IncomingRow.__table__), cast(Table, OutgoingRow.__table__)
_PLACES = cast(Table, PlaceRow.__table__)
_UNDONE = ("waiting", "begun")  # of an update; the second is not worked on again
_FINISH = (
    update(_INBOX)
    .where(
        _INBOX.c.bot == bindparam("of_bot"), _INBOX.c.update_id == bindparam("update"), _INBOX.c.finished.is_(None)
    )
    .values(state=bindparam("end"), payload=null(), finished=bindparam("moment"))
)
_ANSWER = select(_OUTBOX.c.id).where(_OUTBOX.c.bot == bindparam("bot"), _OUTBOX.c.update_id == bindparam("update"))
_CONVERSATION = select(_PLACES.c.conversation).where(
    _PLACES.c.bot == bindparam("bot"), _PLACES.c.place == bindparam("place")
)
_PUT = insert(_OUTBOX).returning(_OUTBOX.c.id)
_END = (
    update(_OUTBOX)
    .where(_OUTBOX.c.id == bindparam("number"))
    .values(parts=[], options={}, state=bindparam("end"), finished=bindparam("moment"))
)


class Mailbox:
    """The in- and outbox of one bot, named by its number (the part of its token that is no secret)."""

    def __init__(self, database: Database, bot: int) -> None:
        self.bot = bot
        self._session, self._write = database.session, database.write
        self._unsure: set[int] = set()  # updates whose commit failed; a server that was lost then may have them

    def receive(self, updates: Iterable[Incoming], *, now: datetime | None = None) -> list[int]:
        """Store updates that are not known yet; return their numbers. They are safe once this returns.

        What is stored although storing it failed, because the connection broke in the middle of the commit, is
        returned when it comes again. A chat that brings something can be written to, whatever was noted of it before.
        """
        moment = now or datetime.now(UTC)
        given = list(updates)
        rows = [
            {
                "bot": self.bot,
                "update_id": incoming.update_id,
                "chat": incoming.chat,
                "person": incoming.person,
                "payload": as_json(incoming.payload),
                "state": "waiting",
                "attempts": 0,
                "created": moment,
            }
            for incoming in given
        ]

        numbers: list[int] = []

        def work(session: Session) -> None:
            inserted = insert_all_new(session, IncomingRow, rows, IncomingRow.update_id)
            new = self._unsure.union(inserted)
            chats = dict.fromkeys(incoming.chat for incoming in given if incoming.update_id in new)
            if chats:
                heard = insert_for(session)(ChatRow.__table__)
                heard = heard.on_conflict_do_update(
                    index_elements=["bot", "chat"],
                    set_={"unreachable_since": null()},
                    where=ChatRow.unreachable_since.is_not(None),
                )
                values = [{"bot": self.bot, "chat": chat, "created": moment} for chat in chats]
                session.connection().execute(heard, values)
            numbers[:] = dict.fromkeys(i.update_id for i in given if i.update_id in new)

        try:
            self._write(work)
        except StorageError:
            self._unsure.update(numbers)
            raise
        self._unsure.difference_update(numbers)
        return numbers

    def waiting(self, limit: int | None = None) -> list[Incoming]:
        """Return updates that are not done, oldest first: the work left over when the program starts."""
        query = select(IncomingRow).where(IncomingRow.bot == self.bot, IncomingRow.state.in_(_UNDONE))
        with self._session() as session:
            rows = session.scalars(query.order_by(IncomingRow.update_id).limit(limit))
            return [Incoming(r.update_id, r.chat, r.payload or {}, r.person, r.attempts) for r in rows]

    def begin(self, update_id: int) -> int:
        """Note that work on an update begins, and return how often it has: a number that grows tells of crashes."""
        with self._session(writes=True) as session:
            row = session.get_one(IncomingRow, (self.bot, update_id), with_for_update=True)
            row.attempts += 1
            return row.attempts

    def begin_once(self, update_id: int) -> bool:
        """Note that what an update asks for begins, and must not be done twice; False where it began before.

        It may be done then, or not: whoever worked on it ended before its answer was stored.
        """

        def work(session: Session) -> bool:
            row = session.get(IncomingRow, (self.bot, update_id), with_for_update=True)
            if row is None:  # forgotten meanwhile, with its person
                return True
            is_first = row.state == "waiting"
            if is_first:
                row.state = "begun"
            return is_first

        return self._write(work)

    def finish(self, update_id: int, *, is_failed: bool = False, now: datetime | None = None) -> None:
        """Note that an update needs no more work, and drop its text. Without an answer, or after ``post``."""
        moment, state = now or datetime.now(UTC), "failed" if is_failed else "done"
        self._write(lambda session: _finish(session, self.bot, update_id, state, moment))

    def post(self, message: Outgoing, *, now: datetime | None = None) -> Outgoing:
        """Put a message that is no reply of a model into the outbox, and end the update that it answers.

        The message of an update that was answered before is not stored again: the stored one comes back. A reply
        goes with ``ConversationStore.post_exchange``, which stores its turn at the same time.
        """
        return self.post_all([message], now=now)[0]

    def post_all(self, messages: Sequence[Outgoing], *, now: datetime | None = None) -> list[Outgoing]:
        """Put messages into the outbox in one go, all or none; the first ends the update that it answers.

        Where that update was answered before, nothing is stored, and only that answer comes back.
        """
        moment = now or datetime.now(UTC)

        def work(session: Session) -> list[Outgoing]:
            known = find_answer(session, messages[0])
            return [known] if known is not None else [put(session, message, moment) for message in messages]

        return self._write(work)

    def unsent(self, limit: int | None = None) -> list[Outgoing]:
        """Return messages of which parts are still to be sent, in the order they were posted."""
        query = select(OutgoingRow).where(OutgoingRow.bot == self.bot, OutgoingRow.state == "waiting")
        with self._session() as session:
            rows = session.scalars(query.order_by(OutgoingRow.id).limit(limit)).all()
            return [_outgoing(session, row) for row in rows]

    def record_sent(self, message: Outgoing, number: int, *, now: datetime | None = None) -> Outgoing:
        """Note that the messenger took the next part of a message as ``number``; with the last part it is done.

        It is noted in the message's chat as given, which is another than the stored one where a group has moved.
        A message that was edited is the newer one's from then on: it shows that one's turn. Nothing is noted of a
        message that was erased in the meantime.

        Returns:
            The message with that part among those sent.
        """
        moment = now or datetime.now(UTC)
        sent = replace(message, sent=(*message.sent, number))

        def work(session: Session) -> None:
            connection = session.connection()
            here = select(_OUTBOX.c.bot, literal(message.chat), literal(number), _OUTBOX.c.id).where(
                _OUTBOX.c.id == message.id
            )
            note = insert_for(session)(SentRow).from_select(["bot", "chat", "message_id", "outgoing_id"], here)
            connection.execute(
                note.on_conflict_do_update(
                    index_elements=["bot", "chat", "message_id"], set_={"outgoing_id": note.excluded.outgoing_id}
                )
            )
            if len(sent.sent) >= len(message.parts):
                connection.execute(_END, {"number": message.id, "end": "sent", "moment": moment})

        self._write(work)
        return sent

    def give_up(self, outgoing_id: int, *, now: datetime | None = None) -> None:
        """Note that a message cannot be sent, and drop its text."""
        values = {"number": outgoing_id, "end": "failed", "moment": now or datetime.now(UTC)}
        self._write(lambda session: session.connection().execute(_END, values))

    def turn_of(self, chat: str, message_id: int) -> int | None:
        """Return the id of the reply's turn that a message of the chat shows, for buttons and reactions under it."""
        query = select(OutgoingRow.turn_id).join(SentRow, SentRow.outgoing_id == OutgoingRow.id)
        query = query.where(SentRow.bot == self.bot, SentRow.chat == chat, SentRow.message_id == message_id)
        with self._session() as session:
            return session.scalar(query)

    def messages_of(self, turn_id: int) -> list[int]:
        """Return the numbers of the messages that show a reply's turn, in order."""
        query = select(SentRow.message_id).join(OutgoingRow, SentRow.outgoing_id == OutgoingRow.id)
        query = query.where(OutgoingRow.bot == self.bot, OutgoingRow.turn_id == turn_id)
        with self._session() as session:
            return list(session.scalars(query.order_by(SentRow.message_id)))

    def conversation_at(self, place: str) -> str | None:
        """Return the conversation that is being talked in at a place: a chat, or a thread of one."""
        with self._session() as session:
            return session.connection().execute(_CONVERSATION, {"bot": self.bot, "place": place}).scalar()

    def set_conversation(self, place: str, conversation: str) -> None:
        """Go on in another conversation at a place."""
        with self._session(writes=True) as session:
            session.merge(PlaceRow(bot=self.bot, place=place, conversation=conversation))

    def set_reachable(self, chat: str, is_reachable: bool, *, now: datetime | None = None) -> None:
        """Note that a chat blocked the bot or is gone, or that it is there again."""
        moment = now or datetime.now(UTC)
        with self._session(writes=True) as session:
            insert_new(session, ChatRow, bot=self.bot, chat=chat, created=moment)
            chosen = update(ChatRow).where(ChatRow.bot == self.bot, ChatRow.chat == chat)
            session.execute(chosen.values(unreachable_since=null() if is_reachable else moment))

    def chats(self, *, is_reachable: bool = True) -> list[str]:
        """Return the chats that can be written to, or those that cannot."""
        state = ChatRow.unreachable_since.is_(None) if is_reachable else ChatRow.unreachable_since.is_not(None)
        with self._session() as session:
            return list(session.scalars(select(ChatRow.chat).where(ChatRow.bot == self.bot, state)))

    def backlog(self) -> tuple[int, int]:
        """Return how many updates wait for work, and how many messages for being sent."""
        with self._session() as session:
            waiting = [
                session.scalars(
                    select(func.count()).select_from(table).where(table.bot == self.bot, table.state.in_(_UNDONE))
                ).one()
                for table in (IncomingRow, OutgoingRow)
            ]
        return waiting[0], waiting[1]

    def purge(self, before: datetime) -> int:
        """Forget updates that were done before a moment, and return how many. Buttons under old messages stay known.

        Telegram keeps an update for 24 hours; what it may bring again must not be forgotten here.
        """
        old = delete(IncomingRow).where(IncomingRow.bot == self.bot, IncomingRow.finished < before)
        with self._session(writes=True) as session:
            return int(cast(Any, session.execute(old)).rowcount)


def put(session: Session, message: Outgoing, moment: datetime) -> Outgoing:
    """Put a message into the outbox and end its update, within the transaction that stores what it says."""
    if message.update_id is not None:
        _finish(session, message.bot, message.update_id, "done", moment)
    stored = replace(message, parts=tuple(as_json(message.parts)), options=as_json(message.options), sent=())
    values = {
        "bot": message.bot,
        "update_id": message.update_id,
        "chat": message.chat,
        "person": message.person,
        "turn_id": message.turn_id,
        "parts": list(stored.parts),
        "options": stored.options,
        "state": "waiting",
        "created": moment,
    }
    return replace(stored, id=session.connection().execute(_PUT, values).scalar_one())


def find_answer(session: Session, message: Outgoing) -> Outgoing | None:
    """Return the message that answered the same update before, or None."""
    if message.update_id is None:
        return None
    number = session.connection().execute(_ANSWER, {"bot": message.bot, "update": message.update_id}).scalar()
    return _outgoing(session, session.get_one(OutgoingRow, number)) if number is not None else None


def _finish(session: Session, bot: int, update_id: int, state: str, moment: datetime) -> None:
    values = {"of_bot": bot, "update": update_id, "end": state, "moment": moment}
    session.connection().execute(_FINISH, values)


def _outgoing(session: Session, row: OutgoingRow) -> Outgoing:
    sent: Sequence[int] = session.scalars(
        select(SentRow.message_id).where(SentRow.outgoing_id == row.id).order_by(SentRow.message_id)
    ).all()
    return Outgoing(
        row.bot, row.chat, tuple(row.parts), row.update_id, row.person, row.options, row.turn_id, tuple(sent), row.id
    )
