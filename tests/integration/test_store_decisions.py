"""The owner's decisions: they last, they are about one response, and they go with its turn and its person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.decisions import decision_key
from storage.errors import StorageError
from storage.records import Decision, LoggedExchange
from storage.store import ConversationStore, StorageConfig
from tests.talk import ADA, BOB, say

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def said(store: ConversationStore) -> LoggedExchange:
    """Two messages in a row, which are one response."""
    say(store, "hello", "hi")
    for person in (ADA, BOB):
        store.people.set_consent(person, True)
    for text in ("how are", "you"):
        store.add_turn("ada/1", text, person=ADA)
    (exchange,) = store.exchanges()
    return exchange


def test_a_decision_lasts_and_the_newest_holds(
    store: ConversationStore, database_url: str, said: LoggedExchange
) -> None:
    store.decisions.decide(said, False)
    store.decisions.decide(said, True, "how do you do", now=NOON)
    other = ConversationStore(StorageConfig(database_url))
    assert other.decisions.all() == {decision_key(said): Decision(True, "how do you do", NOON)}
    other.decisions.undecide(said)
    other.close()
    assert store.decisions.all() == {}


def test_a_newer_lesson_asks_for_a_new_decision(store: ConversationStore, said: LoggedExchange) -> None:
    store.teach(said.turn_id, BOB, "well, and you?")
    lesson = next(exchange for exchange in store.exchanges() if exchange.origin == "taught")
    store.decisions.decide(lesson, True)
    store.teach(said.turn_id, BOB, "buy tea")
    newer = next(exchange for exchange in store.exchanges() if exchange.origin == "taught")
    assert decision_key(newer) not in store.decisions.all()


def test_what_was_said_and_what_was_taught_on_it_are_decided_apart(
    store: ConversationStore, said: LoggedExchange
) -> None:
    store.teach(said.turn_id, ADA, said.response)
    taught = next(exchange for exchange in store.exchanges() if exchange.origin == "taught")
    store.decisions.decide(said, False)
    assert decision_key(taught) not in store.decisions.all()


@pytest.mark.parametrize("doomed", [0, 1])
def test_a_turn_that_is_erased_takes_along_the_decisions_on_what_it_was_part_of(
    store: ConversationStore, said: LoggedExchange, doomed: int
) -> None:
    store.decisions.decide(said, True, "how are you today")
    store.delete_turn(said.turn_ids[-2:][doomed])
    assert store.decisions.all() == {}


def test_no_byte_of_a_changed_response_is_left_when_its_turn_is_erased(tmp_path: Path) -> None:
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'c.db'}"))
    say(store, "hello", "hi", "well")
    store.people.set_consent(ADA, True)
    (exchange,) = store.exchanges()
    store.decisions.decide(exchange, True, "marmalade " * 500)
    assert any(b"marmalade" in path.read_bytes() for path in tmp_path.iterdir())
    store.delete_turn(exchange.turn_id)
    assert not any(b"marmalade" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_a_person_who_is_forgotten_takes_decisions_and_standing_along(
    store: ConversationStore, said: LoggedExchange
) -> None:
    store.teach(said.turn_id, BOB, "well, and you?")
    for exchange in store.exchanges():
        store.decisions.decide(exchange, True)
    store.decisions.set_standing(BOB, False)
    store.delete_person(BOB)
    assert list(store.decisions.all()) == [decision_key(said)]
    assert store.decisions.standings() == {}


def test_a_standing_is_replaced_and_taken_back(store: ConversationStore, said: LoggedExchange) -> None:
    store.decisions.set_standing(ADA, True)
    store.decisions.set_standing(ADA, False)
    assert store.decisions.standings() == {ADA: False}
    store.decisions.set_standing(ADA, None)
    assert store.decisions.standings() == {}


@pytest.mark.parametrize(
    ("adas", "bobs", "then"),
    [(None, True, True), (True, False, False), (False, True, False), (True, None, True), (None, None, None)],
)
def test_of_the_standings_of_linked_people_the_stricter_holds(
    store: ConversationStore, said: LoggedExchange, adas: bool | None, bobs: bool | None, then: bool | None
) -> None:
    store.decisions.set_standing(ADA, adas)
    store.decisions.set_standing(BOB, bobs)
    store.people.link(store.people.new_link_code(ADA), BOB)
    assert store.decisions.standings().get(ADA) is then


def test_decisions_follow_linked_people_and_the_kept_ones_stay(
    store: ConversationStore, said: LoggedExchange
) -> None:
    for person, is_accepted in ((ADA, False), (BOB, True)):
        store.teach(said.turn_id, person, "well")
        taught = [e for e in store.exchanges() if e.origin == "taught" and e.person == person]
        store.decisions.decide(taught[0], is_accepted)
    store.decisions.decide(said, True)
    store.people.link(store.people.new_link_code(BOB), ADA)
    assert {(key.person, key.kind): found.is_accepted for key, found in store.decisions.all().items()} == {
        (BOB, "taught"): True,
        (BOB, "said"): True,
    }


def test_nothing_is_decided_about_what_is_not_there(store: ConversationStore, said: LoggedExchange) -> None:
    with pytest.raises(StorageError, match="turn 999 is gone"):
        store.decisions.decide(replace(said, turn_id=999), True)
    with pytest.raises(StorageError, match="nobody is called 'terminal:nobody'"):
        store.decisions.set_standing("terminal:nobody", True)
