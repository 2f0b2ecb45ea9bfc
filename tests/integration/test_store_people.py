"""Ratings, lessons, consent and linked identities; and what may be learned from all that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import LinkCodeError, StorageError
from storage.records import Consent, Feedback, ModelRatings
from storage.store import ConversationStore
from tests.talk import ADA, BOB, record, say, texts_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def learned(store: ConversationStore, context_turns: int = 3) -> list[tuple[tuple[str, ...], str, str]]:
    return [(e.context, e.response, e.origin) for e in store.exchanges(context_turns) if not e.is_rejected]


def rejected(store: ConversationStore) -> list[tuple[str, str]]:
    return [(e.response, e.origin) for e in store.exchanges() if e.is_rejected]


def test_a_rating_is_replaced_by_the_same_persons_next(store: ConversationStore) -> None:
    _, reply = say(store, "hello", "hi")
    store.rate(reply.id, ADA, 1)
    store.rate(reply.id, ADA, -1)
    store.rate(reply.id, BOB, 1)
    assert store.feedback("ada/1") == {reply.id: Feedback({ADA: -1, BOB: 1}, {})}
    store.rate(reply.id, ADA, None)
    assert store.feedback("ada/1") == {reply.id: Feedback({BOB: 1}, {})}


def test_only_replies_are_rated(store: ConversationStore) -> None:
    question, reply = say(store, "hello", "hi")
    with pytest.raises(StorageError, match="no reply of the bot"):
        store.rate(question.id, ADA, 1)
    with pytest.raises(StorageError, match="no turn 999"):
        store.rate(999, ADA, 1)
    with pytest.raises(ValueError, match="1, -1 or None"):
        store.rate(reply.id, ADA, 5)


def test_a_lesson_belongs_to_the_message_whether_it_or_its_reply_is_named(store: ConversationStore) -> None:
    question, reply = say(store, "hello", "hi")
    store.teach(reply.id, ADA, "good morning")
    assert store.feedback("ada/1") == {question.id: Feedback({}, {ADA: "good morning"})}
    store.teach(question.id, ADA, "good evening")
    assert store.feedback("ada/1") == {question.id: Feedback({}, {ADA: "good evening"})}
    with pytest.raises(StorageError, match="no turn 999"):
        store.teach(999, ADA, "x")


def test_ratings_compare_by_model(store: ConversationStore) -> None:
    question = store.add_turn("ada/1", "hello", person=ADA)
    for model, value in (("m1", 1), ("m1", 1), ("m1", -1), ("m2", -1)):
        reply = store.add_reply(question, "hi", record(model_id=model))
        store.rate(reply.id, ADA, value)
    assert store.ratings_by_model() == [ModelRatings("m1", 2, 1), ModelRatings("m2", 0, 1)]


def test_nobody_consents_by_saying_nothing(store: ConversationStore) -> None:
    say(store, "hello", "hi", "how are you")
    assert store.people.has_consent(ADA) is False
    assert store.people.has_consent("terminal:nobody") is False
    assert learned(store) == []


def test_consent_is_a_dated_ledger(store: ConversationStore) -> None:
    store.people.set_consent(ADA, True, now=NOON)
    assert store.people.has_consent(ADA) is True
    store.people.set_consent(ADA, False, now=NOON + timedelta(days=1))
    assert store.people.has_consent(ADA) is False
    assert store.people.consents(ADA) == [Consent(True, NOON), Consent(False, NOON + timedelta(days=1))]
    assert store.people.consents(BOB) == []


def test_only_what_a_consenting_person_said_is_learned(store: ConversationStore) -> None:
    say(store, "hello", "hi", "how are you", "fine", "good")
    say(store, "psst", "yes", "a secret", conversation="bob/1", person=BOB)
    store.people.set_consent(ADA, True)
    assert learned(store) == [
        (("hello", "hi"), "how are you", "person"),
        (("hi", "how are you", "fine"), "good", "person"),
    ]
    assert learned(store, context_turns=1) == [(("hi",), "how are you", "person"), (("fine",), "good", "person")]
    store.people.set_consent(ADA, False)
    assert learned(store) == []


def test_an_edit_is_learned_in_its_own_branch(store: ConversationStore) -> None:
    turns = say(store, "hello", "hi", "how r u")
    store.add_turn("ada/1", "how are you", person=ADA, instead_of=turns[2].id)
    store.people.set_consent(ADA, True)
    assert learned(store) == [
        (("hello", "hi"), "how r u", "person"),
        (("hello", "hi"), "how are you", "person"),
    ]


def test_what_one_speaker_says_in_a_row_is_one_turn(store: ConversationStore) -> None:
    say(store, "hello", "hi")
    store.add_turn("ada/1", "wait", person=ADA)
    say(store, "are you there", "yes", "great")
    store.people.set_consent(ADA, True)
    assert learned(store) == [
        (("hello", "hi"), "wait\nare you there", "person"),
        (("hi", "wait\nare you there", "yes"), "great", "person"),
    ]


def test_lessons_and_good_replies_are_learned_and_others_are_not(store: ConversationStore) -> None:
    store.people.set_consent(ADA, True)
    question = store.add_turn("ada/1", "hello", person=ADA)
    replies = {
        text: store.add_reply(question, text, record(is_cut=text == "cut"))
        for text in ("unrated", "good", "bad", "disputed", "cut")
    }
    for text, value in (("good", 1), ("bad", -1), ("disputed", 1), ("cut", 1)):
        store.rate(replies[text].id, ADA, value)
    store.rate(replies["disputed"].id, BOB, -1)
    store.teach(question.id, ADA, "well met")
    store.teach(question.id, BOB, "not mine to teach")
    assert learned(store) == [(("hello",), "well met", "taught"), (("hello",), "good", "rated")]


def test_what_somebody_finds_bad_who_does_not_consent_is_neither_learned_nor_avoided(
    store: ConversationStore,
) -> None:
    _, reply = say(store, "hello", "hi")
    store.people.set_consent(ADA, True)
    store.rate(reply.id, ADA, 1)
    store.rate(reply.id, BOB, -1)
    assert learned(store) == rejected(store) == []


def test_replies_that_were_rated_bad_are_rejected_and_disputed_and_cut_ones_are_not(store: ConversationStore) -> None:
    store.people.set_consent(ADA, True)
    question = store.add_turn("ada/1", "hello", person=ADA)
    for text in ("bad", "disputed", "cut", "bad to a stranger"):
        reply = store.add_reply(question, text, record(is_cut=text == "cut"))
        store.rate(reply.id, BOB if "stranger" in text else ADA, -1)
        if text == "disputed":
            store.rate(reply.id, BOB, 1)
    assert rejected(store) == [("bad", "rated")]
    assert learned(store) == []


def test_a_reply_that_was_retried_away_is_rejected_unless_the_talk_went_on_behind_it(
    store: ConversationStore,
) -> None:
    store.people.set_consent(ADA, True)
    question = store.add_turn("ada/1", "hello", person=ADA)
    first, second, third = (store.add_reply(question, text, record()) for text in ("first", "second", "third"))
    assert rejected(store) == [("first", "retried"), ("second", "retried")]
    store.set_head(first.id)
    assert rejected(store) == [("second", "retried"), ("third", "retried")]
    store.set_head(second.id)
    store.add_turn("ada/1", "good", person=ADA)
    store.set_head(third.id)
    assert rejected(store) == [("first", "retried")]
    store.step_back("ada/1")
    assert rejected(store) == [("first", "retried"), ("third", "retried")]
    store.rate(first.id, ADA, 1)
    assert rejected(store) == [("third", "retried")]
    store.people.set_consent(ADA, False)
    assert rejected(store) == []


def test_an_exchange_names_the_turns_and_the_people_that_it_is_of(store: ConversationStore) -> None:
    store.people.set_consent(ADA, True)
    store.people.set_consent(BOB, True)
    hello, hi, how = say(store, "hello", "hi", "how are you", conversation="group")
    fine = store.add_reply(how, "fine", record())
    good = store.add_turn("group", "good", person=BOB)
    store.teach(how.id, BOB, "splendid")
    store.rate(fine.id, BOB, -1)
    found = {e.response: (e.turn_id, e.answers, e.person, e.turn_ids, e.people) for e in store.exchanges(2)}
    assert found == {
        "how are you": (how.id, hi.id, ADA, (hello.id, hi.id, how.id), (ADA,)),
        "good": (good.id, fine.id, BOB, (how.id, fine.id, good.id), (ADA, BOB)),
        "splendid": (how.id, how.id, BOB, (hi.id, how.id), (ADA, BOB)),
        "fine": (fine.id, how.id, BOB, (hi.id, how.id, fine.id), (ADA, BOB)),
    }


def test_a_context_ends_where_somebody_spoke_who_does_not_consent(store: ConversationStore) -> None:
    store.people.set_consent(ADA, True)
    say(store, "open", "yes", conversation="group/1")
    say(store, "private", "I see", conversation="group/1", person=BOB)
    say(store, "and I", "you", conversation="group/1")
    store.add_turn("group/1", "good", person=ADA)
    assert learned(store, context_turns=9) == [(("and I", "you"), "good", "person")]


def test_a_code_links_an_identity_and_all_that_was_said_under_it(store: ConversationStore) -> None:
    say(store, "from the terminal", "yes")
    _, reply = say(store, "from the phone", "indeed", conversation="bob/1", person=BOB)
    store.rate(reply.id, BOB, 1)
    code = store.people.new_link_code(ADA)
    assert store.people.link(f" {code.lower()} ", BOB) == [ADA, BOB]
    assert {c.key for c in store.conversations(person=BOB)} == {"ada/1", "bob/1"}
    assert store.people.identities(BOB) == store.people.identities(ADA) == [ADA, BOB]
    assert texts_of(store.search("phone", person=ADA)) == ["from the phone"]
    assert texts_of(store.search("terminal", person=BOB)) == ["from the terminal"]
    assert store.feedback("bob/1") == {reply.id: Feedback({ADA: 1}, {})}
    assert store.counts().people == 1
    again = store.add_turn("bob/1", "more", person=BOB)
    assert again.person == ADA


def test_a_code_works_once_and_only_the_newest_and_in_time(store: ConversationStore) -> None:
    first = store.people.new_link_code(ADA, now=NOON)
    second = store.people.new_link_code(ADA, now=NOON)
    with pytest.raises(LinkCodeError):
        store.people.link(first, BOB, now=NOON)
    with pytest.raises(LinkCodeError):
        store.people.link(second, BOB, now=NOON + timedelta(minutes=15))
    assert store.people.link(second, BOB, now=NOON + timedelta(minutes=14)) == [ADA, BOB]
    with pytest.raises(LinkCodeError):
        store.people.link(second, "telegram:8", now=NOON)


def test_linking_to_oneself_changes_nothing(store: ConversationStore) -> None:
    say(store, "hello")
    assert store.people.link(store.people.new_link_code(ADA), ADA) == [ADA]
    assert texts_of(store.turns("ada/1")) == ["hello"]


@pytest.mark.parametrize(
    ("adas", "bobs", "then"),
    [(None, None, False), (True, None, False), (None, True, False), (True, True, True), (False, True, False)],
)
def test_linking_never_widens_a_consent(
    store: ConversationStore, adas: bool | None, bobs: bool | None, then: bool
) -> None:
    say(store, "hello")
    say(store, "hello", conversation="bob/1", person=BOB)
    for person, consents in ((ADA, adas), (BOB, bobs)):
        if consents is not None:
            store.people.set_consent(person, consents)
    store.people.link(store.people.new_link_code(ADA), BOB)
    assert store.people.has_consent(ADA) is then


def test_of_two_ratings_of_linked_people_the_kept_ones_stays(store: ConversationStore) -> None:
    question, reply = say(store, "hello", "hi")
    store.rate(reply.id, ADA, 1)
    store.rate(reply.id, BOB, -1)
    store.teach(question.id, BOB, "good day")
    store.people.link(store.people.new_link_code(ADA), BOB)
    assert store.feedback("ada/1") == {
        question.id: Feedback({}, {ADA: "good day"}),
        reply.id: Feedback({ADA: 1}, {}),
    }
