"""Chats from elsewhere: each dialogue once, grown or replaced, and only the chosen voices learned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from seq2seq.dialogues import Dialogue, DialogueTurn
from storage.store import ConversationStore
from tests.talk import say, texts_of

CHAT = Dialogue(
    "7",
    "telegram",
    (
        DialogueTurn("Robin", "Is the kettle on?"),
        DialogueTurn("Kim", "It sings."),
        DialogueTurn("Robin", "I hear it."),
        DialogueTurn("Kim", "Two cups?"),
    ),
)
ROBIN, KIM = "import:telegram/Robin", "import:telegram/Kim"


def learned(store: ConversationStore) -> list[tuple[tuple[str, ...], str]]:
    return [(exchange.context, exchange.response) for exchange in store.exchanges()]


def test_a_dialogue_is_stored_once(store: ConversationStore) -> None:
    assert store.import_dialogues([CHAT]) == 1
    assert store.import_dialogues([CHAT]) == 0
    turns = store.turns("telegram/7")
    assert texts_of(turns) == [turn.text for turn in CHAT.turns]
    assert [turn.person for turn in turns] == [ROBIN, KIM, ROBIN, KIM]
    assert [turn.parent_id for turn in turns] == [None, *(turn.id for turn in turns[:-1])]
    assert store.recent_turns("telegram/7", 9) == turns


def test_a_dialogue_that_has_grown_gets_its_new_turns_only(store: ConversationStore) -> None:
    store.import_dialogues([replace(CHAT, turns=CHAT.turns[:2])])
    before = store.turns("telegram/7")
    assert store.import_dialogues([CHAT]) == 1
    after = store.turns("telegram/7")
    assert after[:2] == before
    assert len(after) == 4
    assert texts_of(store.search("cups")) == ["Two cups?"]


def test_a_dialogue_that_has_changed_is_replaced(store: ConversationStore) -> None:
    store.import_dialogues([CHAT])
    changed = replace(CHAT, turns=(DialogueTurn("Robin", "Is the pot on?"), *CHAT.turns[1:]))
    assert store.import_dialogues([changed]) == 1
    assert [turn.text for turn in store.turns("telegram/7")] == [turn.text for turn in changed.turns]
    assert store.search("kettle") == []


def test_what_stood_before_a_change_keeps_its_numbers_and_the_rest_is_erased(store: ConversationStore) -> None:
    store.import_dialogues([CHAT, replace(CHAT, id="8")])
    before = store.turns("telegram/7")
    changed = replace(CHAT, turns=(*CHAT.turns[:2], DialogueTurn("Robin", "I heard."), CHAT.turns[3]))
    assert store.import_dialogues([changed]) == 1
    after = store.recent_turns("telegram/7", 9)
    assert texts_of(after) == [turn.text for turn in changed.turns]
    assert after[:2] == before[:2]
    assert after[2].id > max(turn.id for turn in store.turns("telegram/8"))
    assert store.provenance.erased_turn_ids() == {turn.id for turn in before[2:]}
    assert store.has_traces() is store._database.is_sqlite


def test_another_choice_of_voices_changes_no_turn_but_its_role(store: ConversationStore) -> None:
    store.import_dialogues([CHAT])
    before = store.turns("telegram/7")
    assert store.import_dialogues([replace(CHAT, responders=frozenset({"Kim"}))]) == 1
    after = store.turns("telegram/7")
    assert [turn.id for turn in after] == [turn.id for turn in before]
    assert [turn.speaker for turn in after] == ["other", "person", "other", "person"]
    assert store.provenance.erased_turn_ids() == frozenset()
    assert store.import_dialogues([replace(CHAT, responders=frozenset({"Kim"}))]) == 0


def test_a_dialogue_that_has_become_shorter_loses_its_last_turns(store: ConversationStore) -> None:
    store.import_dialogues([CHAT])
    assert store.import_dialogues([replace(CHAT, turns=CHAT.turns[:2])]) == 1
    assert texts_of(store.recent_turns("telegram/7", 9)) == ["Is the kettle on?", "It sings."]
    assert store.search("cups") == []


def test_an_import_and_a_talk_number_their_turns_side_by_side(store: ConversationStore) -> None:
    first, _ = say(store, "hello", "hi")
    store.delete_conversation("ada/1")
    store.import_dialogues([CHAT])
    (later,) = say(store, "again")
    numbers = [turn.id for turn in store.turns("telegram/7")]
    assert first.id + 1 < numbers[0] < numbers[-1] < later.id


def test_many_dialogues_of_different_lengths_keep_apart(store: ConversationStore) -> None:
    dialogues = [
        Dialogue(str(n), "corpus", tuple(DialogueTurn("AB"[k % 2], f"{n} {k}") for k in range(2 + n % 5)))
        for n in range(50)
    ]
    assert store.import_dialogues(dialogues) == 50
    for dialogue in dialogues:
        assert [t.text for t in store.recent_turns(dialogue.key, 99)] == [t.text for t in dialogue.turns]


@pytest.mark.parametrize(
    ("responders", "responses"),
    [
        (None, ["It sings.", "I hear it.", "Two cups?"]),
        (frozenset({"Kim"}), ["It sings.", "Two cups?"]),
        (frozenset({"Robin"}), ["I hear it."]),
    ],
)
def test_only_the_chosen_voices_are_learned(
    store: ConversationStore, responders: frozenset[str] | None, responses: list[str]
) -> None:
    store.import_dialogues([replace(CHAT, responders=responders)])
    assert [response for _, response in learned(store)] == responses
    assert learned(store)[-1][0] == tuple(turn.text for turn in CHAT.turns)[: 3 if len(responses) > 1 else 2]


def test_what_is_learned_of_an_import_is_marked_and_names_its_speaker(store: ConversationStore) -> None:
    store.import_dialogues([replace(CHAT, responders=frozenset({"Kim"}))])
    assert {(exchange.origin, exchange.person) for exchange in store.exchanges()} == {("imported", KIM)}


def test_a_voice_can_be_withdrawn_and_forgotten(store: ConversationStore) -> None:
    store.import_dialogues([CHAT])
    store.people.set_consent(KIM, False)
    assert learned(store) == []
    store.import_dialogues([replace(CHAT, id="8")])
    assert store.people.has_consent(KIM) is False
    assert store.delete_person(KIM) == 4
    assert texts_of(store.turns("telegram/7")) == ["Is the kettle on?", "I hear it."]


def test_an_import_is_exported_with_its_speakers(store: ConversationStore) -> None:
    store.import_dialogues([CHAT])
    exported = json.loads("".join(store.export("jsonl")))
    assert [turn["speaker"] for turn in exported["turns"]] == [ROBIN, KIM, ROBIN, KIM]
