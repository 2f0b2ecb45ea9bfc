"""What the memory promises of turns and replies, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from storage.errors import StorageError
from storage.store import ConversationStore, StorageConfig
from tests.talk import ADA, BOB, record, say, texts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_turns_come_back_in_the_order_they_were_said(store: ConversationStore) -> None:
    say(store, "one", "two", "three", "four")
    assert [(t.speaker, t.text) for t in store.turns("ada/1")] == [
        ("person", "one"),
        ("bot", "two"),
        ("person", "three"),
        ("bot", "four"),
    ]


def test_each_turn_names_the_one_before_it(store: ConversationStore) -> None:
    first, second, third = say(store, "one", "two", "three")
    assert [t.parent_id for t in store.turns("ada/1")] == [None, first.id, second.id]
    assert third.parent_id == second.id


def test_a_reply_keeps_all_that_makes_it_again(store: ConversationStore) -> None:
    turn = store.add_turn("ada/1", "hello", person=ADA)
    made = record(
        model_id="20260301-english",
        seed=2**64 + 1,
        settings={"top_p": 0.9, "stop": ["\n"]},
        candidates=({"text": "hi", "score": -0.5, "log_prob": -1.25},),
    )
    stored = store.add_reply(turn, "hi", made)
    assert stored.reply == made
    assert store.turns("ada/1")[1] == stored
    assert stored.model_id == "20260301-english"


def test_a_score_without_bound_is_stored(store: ConversationStore) -> None:
    turn = store.add_turn("ada/1", "hello", person=ADA)
    store.add_reply(turn, "hi", record(candidates=({"text": "", "score": float("-inf"), "log_prob": float("nan")},)))
    reply = store.turns("ada/1")[1].reply
    assert reply is not None
    assert reply.candidates == ({"text": "", "score": None, "log_prob": None},)


def test_recent_turns_are_the_newest_oldest_first(store: ConversationStore) -> None:
    say(store, "one", "two", "three", "four", "five")
    assert texts_of(store.recent_turns("ada/1", 3)) == ["three", "four", "five"]
    assert texts_of(store.recent_turns("ada/1", 99)) == ["one", "two", "three", "four", "five"]
    assert store.recent_turns("ada/1", 0) == []
    assert store.recent_turns("nobody/1", 3) == []


def test_a_second_reply_to_a_turn_stands_beside_the_first(store: ConversationStore) -> None:
    question = store.add_turn("ada/1", "hello", person=ADA)
    store.add_reply(question, "first", record())
    second = store.add_reply(question, "second", record())
    assert second.parent_id == question.id
    assert texts_of(store.recent_turns("ada/1", 9)) == ["hello", "second"]
    assert texts_of(store.turns("ada/1")) == ["hello", "first", "second"]


TEXTS = (
    "",
    " \t\n",
    "[/] [red]",
    "\x1b[31mred\x1b[0m",
    "אבג \u202e abc",
    "日本語 ไทย 한국어",
    "👩‍👩‍👧‍👦",
    "x" * 100_000,
    "'; DROP TABLE turns; --",
)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_comes_back_as_it_was_said(store: ConversationStore, text: str) -> None:
    store.add_turn("ada/1", text, person=ADA)
    assert texts_of(store.turns("ada/1")) == [text]


def test_what_no_database_takes_is_replaced(store: ConversationStore) -> None:
    turn = store.add_turn("ada/1", "nul \x00 lone \ud83d.", person=ADA)
    assert turn.text == "nul \ufffd lone ?."
    assert texts_of(store.turns("ada/1")) == [turn.text]


def test_a_name_that_is_no_text_is_refused_in_one_line(store: ConversationStore) -> None:
    with pytest.raises(StorageError, match="cannot be stored") as caught:
        store.add_turn("ada/\udcff", "hello", person=ADA)
    assert "\n" not in str(caught.value)


def test_an_external_id_is_stored_once(store: ConversationStore) -> None:
    first = store.add_turn("bob/1", "hello", person=BOB, external_id="update:1")
    say(store, "in between", "yes", conversation="bob/1", person=BOB)
    again = store.add_turn("bob/1", "hello", person=BOB, external_id="update:1")
    assert again == first
    assert texts_of(store.turns("bob/1")) == ["hello", "in between", "yes"]


def test_the_same_external_id_in_two_conversations_is_two_turns(store: ConversationStore) -> None:
    store.add_turn("bob/1", "hello", person=BOB, external_id="1")
    store.add_turn("ada/1", "hello", person=ADA, external_id="1")
    assert [c.turns for c in store.conversations()] == [1, 1]


def test_conversations_are_listed_last_spoken_first(store: ConversationStore) -> None:
    for hour, name in enumerate(["a", "b", "c"]):
        store.add_turn(name, "hello", person=ADA, now=NOON + timedelta(hours=hour))
    store.add_turn("a", "again", person=ADA, now=NOON + timedelta(hours=9))
    store.add_turn("d", "hello", person=BOB, now=NOON + timedelta(hours=5))
    listed = store.conversations()
    assert [(c.key, c.person, c.turns) for c in listed] == [
        ("a", ADA, 2),
        ("d", BOB, 1),
        ("c", ADA, 1),
        ("b", ADA, 1),
    ]
    assert (listed[0].created, listed[0].updated) == (NOON, NOON + timedelta(hours=9))
    assert [c.key for c in store.conversations(person=ADA, limit=2)] == ["a", "c"]
    assert store.conversations(person="terminal:nobody") == []


def test_times_are_utc_whatever_zone_they_came_in(store: ConversationStore) -> None:
    tokyo = timezone(timedelta(hours=9))
    store.add_turn("a", "hello", person=ADA, now=datetime(2026, 3, 1, 21, tzinfo=tokyo))
    created = store.turns("a")[0].created
    assert created == NOON
    assert created.utcoffset() == timedelta(0)


def test_a_deleted_conversation_is_gone_and_others_stay(store: ConversationStore) -> None:
    say(store, "one", "two", conversation="ada/1")
    say(store, "three", conversation="ada/2")
    assert store.delete_conversation("ada/1") is True
    assert store.delete_conversation("ada/1") is False
    assert store.turns("ada/1") == []
    assert texts_of(store.turns("ada/2")) == ["three"]


def test_a_reply_to_a_deleted_turn_is_refused(store: ConversationStore) -> None:
    turn = store.add_turn("ada/1", "hello", person=ADA)
    store.delete_conversation("ada/1")
    with pytest.raises(StorageError, match="gone"):
        store.add_reply(turn, "hi", record())


def test_what_was_stored_is_there_when_opened_again(database_url: str) -> None:
    for text in ("one", "two"):
        store = ConversationStore(StorageConfig(database_url))
        store.add_turn("ada/1", text, person=ADA)
        store.close()
    store = ConversationStore(StorageConfig(database_url))
    assert texts_of(store.turns("ada/1")) == ["one", "two"]
    store.close()
