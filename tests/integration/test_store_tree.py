"""Retry, undo, edit, other branches, names of conversations: nothing that was said is lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage.errors import StorageError
from storage.store import ConversationStore
from tests.talk import ADA, BOB, record, say, texts_of


def test_stepping_back_undoes_a_message_with_its_reply_and_deletes_nothing(store: ConversationStore) -> None:
    say(store, "one", "two", "three", "four")
    assert texts_of(store.step_back("ada/1")) == ["three", "four"]
    assert texts_of(store.recent_turns("ada/1", 9)) == ["one", "two"]
    assert len(store.turns("ada/1")) == 4


def test_stepping_back_undoes_a_message_without_a_reply(store: ConversationStore) -> None:
    say(store, "one", "two", "three")
    assert texts_of(store.step_back("ada/1")) == ["three"]
    assert texts_of(store.recent_turns("ada/1", 9)) == ["one", "two"]


def test_stepping_back_several_times_ends_at_the_beginning(store: ConversationStore) -> None:
    say(store, "one", "two", "three", "four")
    assert texts_of(store.step_back("ada/1", 5)) == ["one", "two", "three", "four"]
    assert store.recent_turns("ada/1", 9) == []
    assert store.step_back("ada/1") == []
    assert store.step_back("nobody/1") == []
    assert store.add_turn("ada/1", "anew", person=ADA).parent_id is None


def test_an_edit_stands_beside_what_it_was_edited_from(store: ConversationStore) -> None:
    _, second, third, _ = say(store, "one", "two", "three", "four")
    edited = store.add_turn("ada/1", "THREE", person=ADA, instead_of=third.id)
    assert edited.parent_id == second.id
    assert texts_of(store.recent_turns("ada/1", 9)) == ["one", "two", "THREE"]
    assert texts_of(store.alternatives(edited.id)) == ["three", "THREE"]
    assert texts_of(store.branch_to(third.id, 9)) == ["one", "two", "three"]


def test_the_first_turn_can_be_edited(store: ConversationStore) -> None:
    first, _ = say(store, "one", "two")
    edited = store.add_turn("ada/1", "ONE", person=ADA, instead_of=first.id)
    assert edited.parent_id is None
    assert texts_of(store.alternatives(first.id)) == ["one", "ONE"]
    say(store, "elsewhere", conversation="ada/2")
    assert texts_of(store.alternatives(first.id)) == ["one", "ONE"]


def test_an_edit_of_what_is_not_there_is_refused(store: ConversationStore) -> None:
    elsewhere = store.add_turn("bob/1", "secret", person=BOB)
    for number in (elsewhere.id, 999):
        with pytest.raises(StorageError, match=f"no turn {number}"):
            store.add_turn("ada/1", "hello", person=ADA, instead_of=number)
    assert store.conversations(person=ADA) == []


def test_alternatives_are_the_replies_to_one_turn(store: ConversationStore) -> None:
    question = store.add_turn("ada/1", "hello", person=ADA)
    replies = [store.add_reply(question, text, record()) for text in ("first", "second", "third")]
    for reply in replies:
        assert store.alternatives(reply.id) == replies
    assert store.alternatives(999) == []


def test_another_branch_can_be_chosen(store: ConversationStore) -> None:
    question = store.add_turn("ada/1", "hello", person=ADA)
    first = store.add_reply(question, "first", record())
    store.add_reply(question, "second", record())
    assert store.set_head(first.id) == first
    assert store.add_turn("ada/1", "go on", person=ADA).parent_id == first.id
    assert texts_of(store.recent_turns("ada/1", 9)) == ["hello", "first", "go on"]
    with pytest.raises(StorageError, match="no turn 999"):
        store.set_head(999)


def test_a_branch_is_cut_at_its_limit(store: ConversationStore) -> None:
    turns = say(store, "one", "two", "three", "four")
    assert texts_of(store.branch_to(turns[2].id, 2)) == ["two", "three"]
    assert store.branch_to(999, 2) == []


def test_a_turn_is_found_by_its_id(store: ConversationStore) -> None:
    turn = store.add_turn("bob/1", "hello", person=BOB, external_id="message:5")
    assert store.turn(turn.id) == turn
    assert store.turn(999) is None


def test_a_reply_that_was_stopped_is_marked(store: ConversationStore) -> None:
    question = store.add_turn("ada/1", "hello", person=ADA)
    store.add_reply(question, "I was ab", record(is_cut=True))
    reply = store.turns("ada/1")[1].reply
    assert reply is not None
    assert reply.is_cut is True


def test_a_conversation_is_renamed_and_found_by_either_name(store: ConversationStore) -> None:
    say(store, "one", conversation="ada/1")
    say(store, "two", conversation="ada/2")
    assert store.rename("ada/1", "About Tea") is True
    assert store.rename("nobody/1", "x") is False
    found = store.find_conversation("about tea")
    assert found is not None
    assert (found.key, found.title, found.turns) == ("ada/1", "About Tea", 1)
    by_key = store.find_conversation("ada/2", person=ADA)
    assert by_key is not None
    assert (by_key.key, by_key.title) == ("ada/2", None)
    assert store.find_conversation("about tea", person=BOB) is None
    assert store.rename("ada/1", None) is True
    assert store.find_conversation("about tea") is None


def test_what_a_group_talks_in_is_none_of_a_persons_private_conversations(store: ConversationStore) -> None:
    for key in ("telegram:7", "telegram:-100", "telegram:-100/5", "20260301-120000-abcd0123"):
        say(store, "hello", conversation=key, person=BOB)
    store.mailbox(1).set_conversation("-100", "20260301-120000-abcd0123")
    assert [c.key for c in store.conversations(BOB, in_private=True)] == ["telegram:7"]
    assert len(store.conversations(BOB)) == 4
    assert store.find_conversation("telegram:-100", BOB, in_private=True) is None
    assert store.find_conversation("telegram:-100", BOB) is not None


def test_of_two_conversations_with_one_title_the_last_talked_in_is_found(store: ConversationStore) -> None:
    for day, key in ((1, "ada/1"), (3, "ada/2"), (2, "ada/3")):
        store.add_turn(key, "hello", person=ADA, now=datetime(2026, 1, day, tzinfo=UTC))
        store.rename(key, "tea")
    found = store.find_conversation("tea")
    assert found is not None
    assert found.key == "ada/2"


def test_a_long_title_is_cut(store: ConversationStore) -> None:
    say(store, "one")
    store.rename("ada/1", "é" * 300)
    assert store.conversations()[0].title == "é" * 200


def test_counts_tell_how_much_there_is(store: ConversationStore) -> None:
    say(store, "one", "two", "three")
    say(store, "four", conversation="bob/1", person=BOB)
    counts = store.counts()
    assert (counts.people, counts.conversations, counts.turns) == (2, 2, 4)


def test_an_id_is_never_used_again(store: ConversationStore) -> None:
    last = say(store, "one", "two")[-1]
    store.delete_conversation("ada/1")
    assert store.add_turn("ada/1", "three", person=ADA).id > last.id
