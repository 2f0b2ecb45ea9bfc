"""The in- and outbox: nothing lost, nothing doubled, and no text kept longer than it is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import Connection, event, text

from storage.errors import StorageError
from storage.mailbox import Mailbox
from storage.records import Incoming, Outgoing, Turn
from storage.store import ConversationStore
from tests.talk import BOB, record, texts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def update(number: int, chat: str = "7", words: str = "hello") -> Incoming:
    return Incoming(number, chat, {"message": {"text": words, "emoji": "😀"}}, person=f"telegram:{chat}")


@pytest.fixture
def mailbox(store: ConversationStore) -> Mailbox:
    return store.mailbox(123456)


def post(store: ConversationStore, outgoing: Outgoing, reply: str = "hi") -> tuple[Turn, Outgoing]:
    """Store what Bob said, and what is replied."""
    turn, message = store.post_exchange("telegram:7", "hello", reply, record(), outgoing, person=BOB)
    assert turn is not None
    return turn, message


def everything_in(store: ConversationStore, table: str) -> str:
    with store._session() as session:
        return repr(session.execute(text(f"SELECT * FROM {table}")).all())


def test_an_update_is_received_once(mailbox: Mailbox) -> None:
    assert mailbox.receive([update(1), update(2)]) == [1, 2]
    assert mailbox.receive([update(2), update(3)]) == [3]
    assert mailbox.waiting() == [update(1), update(2), update(3)]
    assert mailbox.waiting(limit=1) == [update(1)]


def test_an_update_that_was_done_is_known_again(mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    mailbox.finish(1)
    assert mailbox.receive([update(1)]) == []
    assert mailbox.waiting() == []


def test_an_update_whose_commit_was_not_answered_is_worked_on_when_it_comes_again(
    store: ConversationStore, mailbox: Mailbox
) -> None:
    mailbox.receive([update(1)])

    @event.listens_for(store._database.engine, "commit", once=True)
    def commit_and_break(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        driver.execute("COMMIT")
        driver.close()

    with pytest.raises(StorageError):
        mailbox.receive([update(1), update(2)])
    assert [incoming.update_id for incoming in mailbox.waiting()] == [1, 2]
    assert mailbox.receive([update(1), update(2), update(3)]) == [2, 3]
    assert mailbox.receive([update(2)]) == []


def test_two_bots_with_the_same_numbers_do_not_meet(store: ConversationStore) -> None:
    one, other = store.mailbox(1), store.mailbox(2)
    one.receive([update(5)])
    assert other.receive([update(5)]) == [5]
    one.finish(5)
    assert [u.update_id for u in other.waiting()] == [5]


def test_attempts_tell_of_crashes(mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    assert [mailbox.begin(1), mailbox.begin(1)] == [1, 2]
    assert mailbox.waiting()[0].attempts == 2


def test_what_must_not_be_done_twice_begins_once_and_still_waits_for_its_answer(
    store: ConversationStore, mailbox: Mailbox
) -> None:
    mailbox.receive([update(1), update(2)])
    assert [mailbox.begin_once(1), mailbox.begin_once(1)] == [True, False]
    assert ([u.update_id for u in mailbox.waiting()], mailbox.backlog()) == ([1, 2], (2, 0))
    mailbox.post(Outgoing(123456, "7", ["done"], update_id=1))
    assert [u.update_id for u in mailbox.waiting()] == [2]
    store.add_turn("telegram:7", "hello", person=BOB)
    store.delete_person(BOB)
    assert mailbox.begin_once(2)


def test_the_text_of_an_update_goes_when_it_is_done(store: ConversationStore, mailbox: Mailbox) -> None:
    mailbox.receive([update(1, words="aubergine"), update(2, words="aubergine"), update(3, words="aubergine")])
    mailbox.finish(1)
    mailbox.finish(2, is_failed=True)
    mailbox.post(Outgoing(123456, "7", ["done"], update_id=3))
    assert "aubergine" not in everything_in(store, "inbox")


def test_a_reply_its_message_and_its_update_are_stored_together(store: ConversationStore, mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    reply, message = post(store, Outgoing(123456, "7", ["hi"], update_id=1, person=BOB))
    assert mailbox.waiting() == []
    assert mailbox.unsent() == [message]
    assert (message.turn_id, message.parts, message.chat, message.sent) == (reply.id, ("hi",), "7", ())
    assert store.recent_turns("telegram:7", 9)[-1] == reply
    assert texts_of(store.turns("telegram:7")) == ["hello", "hi"]


def test_a_second_reply_to_one_update_is_the_first(store: ConversationStore, mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    outgoing = Outgoing(123456, "7", ["hi"], update_id=1)
    first = post(store, outgoing)
    assert post(store, outgoing, reply="another") == first
    assert texts_of(store.turns("telegram:7")) == ["hello", "hi"]
    assert len(mailbox.unsent()) == 1


def test_a_second_answer_to_one_update_is_the_first(mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    first = mailbox.post(Outgoing(123456, "7", ["one"], update_id=1))
    assert mailbox.post(Outgoing(123456, "7", ["two"], update_id=1)) == first
    assert mailbox.post(Outgoing(123456, "7", ["news"])).id != mailbox.post(Outgoing(123456, "7", ["news"])).id


def test_messages_to_many_go_with_the_answer_that_tells_of_them_and_only_once(mailbox: Mailbox) -> None:
    mailbox.receive([update(1)])
    messages = [Outgoing(123456, "7", ["on its way"], update_id=1)]
    messages += [Outgoing(123456, chat, ["news"]) for chat in ("8", "9")]
    posted = mailbox.post_all(messages)
    assert [(message.chat, message.parts) for message in posted] == [
        ("7", ("on its way",)),
        ("8", ("news",)),
        ("9", ("news",)),
    ]
    assert mailbox.post_all(messages) == posted[:1]
    assert mailbox.unsent() == posted
    assert mailbox.waiting() == []


def test_sending_goes_on_behind_the_last_part_that_was_taken(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(123456, "7", ["one", "two"], options={"reply_to": 5}))
    assert mailbox.record_sent(message, 901).sent == (901,)
    (unfinished,) = mailbox.unsent()
    assert unfinished.parts[len(unfinished.sent) :] == ("two",)
    assert unfinished.options == {"reply_to": 5}
    assert mailbox.record_sent(unfinished, 902).sent == (901, 902)
    assert mailbox.unsent() == []


def test_the_same_part_noted_twice_counts_once(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(123456, "7", ["one", "two"]))
    mailbox.record_sent(message, 901)
    assert mailbox.record_sent(message, 901).sent == (901,)
    assert len(mailbox.unsent()) == 1


def test_the_text_of_a_message_goes_when_it_is_sent_or_given_up(store: ConversationStore, mailbox: Mailbox) -> None:
    sent, lost = (mailbox.post(Outgoing(123456, "7", ["aubergine"])) for _ in range(2))
    mailbox.record_sent(sent, 901)
    mailbox.give_up(lost.id)
    assert mailbox.unsent() == []
    assert "aubergine" not in everything_in(store, "outbox")


def test_a_button_under_a_message_leads_to_its_turn(store: ConversationStore, mailbox: Mailbox) -> None:
    reply, message = post(store, Outgoing(123456, "7", ["h", "i"]))
    message = mailbox.record_sent(message, 901)
    mailbox.record_sent(message, 902)
    assert mailbox.turn_of("7", 901) == mailbox.turn_of("7", 902) == reply.id
    assert mailbox.turn_of("8", 901) is None
    assert mailbox.messages_of(reply.id) == [901, 902]


def test_a_message_that_was_edited_shows_the_newer_turn(store: ConversationStore, mailbox: Mailbox) -> None:
    _, message = post(store, Outgoing(123456, "7", ["hi"]))
    mailbox.record_sent(message, 901)
    other, edit = post(store, Outgoing(123456, "7", ["ho"], options={"edits": 901}))
    assert mailbox.record_sent(edit, 901).sent == (901,)
    assert mailbox.unsent() == []
    assert mailbox.turn_of("7", 901) == other.id


def test_a_place_keeps_its_conversation_until_its_person_is_forgotten(
    store: ConversationStore, mailbox: Mailbox
) -> None:
    mailbox.receive([update(1)])
    assert mailbox.conversation_at("7") is None
    for conversation in ("a", "b"):
        mailbox.set_conversation("7", conversation)
    for place in ("7/5", "77/5"):
        mailbox.set_conversation(place, "c")
    assert (mailbox.conversation_at("7"), mailbox.chats()) == ("b", ["7"])
    store.add_turn("b", "hello", person=BOB)
    store.delete_person(BOB)
    assert (mailbox.conversation_at("7"), mailbox.conversation_at("7/5"), mailbox.chats()) == (None, None, [])
    assert mailbox.conversation_at("77/5") == "c"


def test_a_message_goes_with_the_turn_that_it_shows(store: ConversationStore, mailbox: Mailbox) -> None:
    reply, _ = post(store, Outgoing(123456, "7", ["hi"]))
    store.delete_turn(reply.id)
    assert mailbox.unsent() == []


def test_chats_that_blocked_the_bot_are_left_out(mailbox: Mailbox) -> None:
    mailbox.receive([update(1, "7"), update(2, "8")])
    mailbox.set_reachable("7", False)
    mailbox.set_reachable("9", False)
    assert mailbox.chats() == ["8"]
    assert sorted(mailbox.chats(is_reachable=False)) == ["7", "9"]
    mailbox.set_reachable("7", True)
    assert sorted(mailbox.chats()) == ["7", "8"]


def test_a_chat_that_brings_something_new_can_be_written_to_again(mailbox: Mailbox) -> None:
    mailbox.receive([update(1, "7"), update(2, "8")])
    for chat in ("7", "8"):
        mailbox.set_reachable(chat, False)
    mailbox.receive([update(1, "7"), update(3, "8")])
    assert (mailbox.chats(), mailbox.chats(is_reachable=False)) == (["8"], ["7"])


def test_the_backlog_counts_what_waits(mailbox: Mailbox) -> None:
    mailbox.receive([update(1), update(2), update(3)])
    mailbox.post(Outgoing(123456, "7", ["one"], update_id=1))
    assert mailbox.backlog() == (2, 1)


def test_only_old_updates_that_are_done_are_purged(mailbox: Mailbox) -> None:
    mailbox.receive([update(1), update(2), update(3)], now=NOON)
    mailbox.finish(1, now=NOON)
    mailbox.finish(2, now=NOON + timedelta(days=2))
    assert mailbox.purge(NOON + timedelta(days=1)) == 1
    assert [u.update_id for u in mailbox.waiting()] == [3]
    assert mailbox.receive([update(1), update(2)]) == [1]


def test_a_clock_that_jumps_changes_no_order(store: ConversationStore, mailbox: Mailbox) -> None:
    """Order is that of numbers; the moments only tell when."""
    for number, days in enumerate((0, -3, 400, -1)):
        with time_machine.travel(NOON + timedelta(days=days), tick=False):
            mailbox.receive([update(number, words=str(number))])
            outgoing = Outgoing(123456, "7", [f"{number}!"], update_id=number)
            store.post_exchange("telegram:7", str(number), f"{number}!", record(), outgoing, person=BOB)
    assert texts_of(store.recent_turns("telegram:7", 9)) == [t for n in range(4) for t in (f"{n}", f"{n}!")]
    assert [message.parts[0] for message in mailbox.unsent()] == ["0!", "1!", "2!", "3!"]
    assert store.conversations()[0].updated == NOON + timedelta(days=400)
