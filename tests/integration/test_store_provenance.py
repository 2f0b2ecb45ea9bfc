"""Tombstones: which turns are gone, and whose words are which, without a word of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from storage.store import ConversationStore
from tests.integration.test_store_importing import CHAT, KIM
from tests.talk import ADA, BOB, say


def ids(turns: list[object]) -> frozenset[int]:
    return frozenset(turn.id for turn in turns)  # type: ignore[attr-defined]


def test_what_was_not_erased_is_not_listed(store: ConversationStore) -> None:
    say(store, "hello", "hi")
    assert store.provenance.erased_turn_ids() == frozenset()


def test_every_way_of_erasing_leaves_the_ids_of_the_turns(store: ConversationStore) -> None:
    first = say(store, "one", "two", "three", "four")
    store.delete_turn(first[2].id)
    assert store.provenance.erased_turn_ids() == ids(first[2:])
    second = say(store, "one", "two", conversation="ada/2")
    store.delete_conversation("ada/2")
    assert store.provenance.erased_turn_ids() == ids([*first[2:], *second])
    store.delete_older_than(datetime.now(UTC) + timedelta(days=1))
    assert store.provenance.erased_turn_ids() == ids([*first, *second])


def test_a_person_who_is_forgotten_leaves_the_ids_of_all_they_said_and_were_answered(
    store: ConversationStore,
) -> None:
    alone = say(store, "one", "two", conversation="bob/1", person=BOB)
    kept = say(store, "three", "four", conversation="group")
    theirs = say(store, "five", "six", conversation="group", person=BOB)
    store.delete_person(BOB)
    assert store.provenance.erased_turn_ids() == ids([*alone, *theirs])
    assert [turn.id for turn in store.turns("group")] == [turn.id for turn in kept]


def test_a_lesson_that_is_forgotten_leaves_the_id_of_the_turn_it_hung_on(store: ConversationStore) -> None:
    question, _ = say(store, "hello", "hi")
    store.teach(question.id, BOB, "good day")
    before = datetime.now(UTC)
    store.delete_person(BOB)
    after = datetime.now(UTC)
    assert store.turn(question.id) is not None
    assert store.provenance.erased_turn_ids() == {question.id}
    assert store.provenance.erased_turn_ids(since=before) == {question.id}
    assert store.provenance.erased_turn_ids(since=after + timedelta(seconds=1)) == frozenset()
    store.delete_conversation("ada/1")
    assert len(store.provenance.erased_turn_ids()) == 2


def test_ids_of_erased_turns_are_never_used_again(store: ConversationStore) -> None:
    gone = say(store, "one", "two")
    store.delete_person(ADA)
    assert ids(say(store, "three", "four")).isdisjoint(ids(gone))


def test_the_turns_of_a_person_are_what_they_said_and_what_they_taught_on(store: ConversationStore) -> None:
    question, _, more = say(store, "hello", "hi", "how are you")
    bobs, _ = say(store, "one", "two", conversation="group", person=BOB)
    store.teach(question.id, BOB, "good day")
    assert store.provenance.turn_ids_of(ADA) == {question.id, more.id}
    assert store.provenance.turn_ids_of(BOB) == {question.id, bobs.id}
    assert store.provenance.turn_ids_of("terminal:nobody") == frozenset()


def test_turns_of_people_who_withdrew_are_known_and_those_of_people_never_asked_are_not(
    store: ConversationStore,
) -> None:
    question, reply = say(store, "hello", "hi")
    say(store, "one", "two", conversation="group", person=BOB)
    store.people.set_consent(ADA, True)
    assert store.provenance.withdrawn_turn_ids() == frozenset()
    store.people.set_consent(ADA, False)
    assert store.provenance.withdrawn_turn_ids() == {question.id, reply.id}
    store.people.set_consent(ADA, True)
    assert store.provenance.withdrawn_turn_ids() == frozenset()


def test_an_imported_dialogue_that_changes_leaves_tombstones_and_one_that_grows_leaves_none(
    store: ConversationStore,
) -> None:
    store.import_dialogues([replace(CHAT, turns=CHAT.turns[:2])])
    store.import_dialogues([CHAT])
    assert store.provenance.erased_turn_ids() == frozenset()
    old = ids(list(store.turns("telegram/7")))
    store.import_dialogues([replace(CHAT, turns=CHAT.turns[1:])])
    assert store.provenance.erased_turn_ids() == old
    assert len(store.provenance.turn_ids_of(KIM)) == 2
