from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.dialogue import DialogueManager, Wishes
from bot.policy import EMPTY_MESSAGE
from seq2seq.persona import NOBODY, Persona
from storage.store import ConversationStore, StorageConfig
from tests.fakes import FixedSlot, ScriptedEngine

ROBOT = Persona(lines=("I am a robot.",))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield opened
    opened.close()


def dialogue_with(
    engine: ScriptedEngine, store: ConversationStore, wishes: Wishes | None = None, persona: Persona = NOBODY
) -> DialogueManager:
    return DialogueManager(FixedSlot(engine), store, persona=persona, wishes=wishes)


def test_a_reply_is_stored_with_the_model_that_wrote_it(store: ConversationStore) -> None:
    dialogue = dialogue_with(ScriptedEngine("hi there", model_id="m1"), store)
    dialogue.respond("terminal:ada", "hello", person="terminal:ada")
    turns = store.turns("terminal:ada")
    assert [(t.text, t.model_id) for t in turns] == [("hello", None), ("hi there", "m1")]
    assert turns[1].parent_id == turns[0].id


def test_a_reply_is_stored_with_all_that_makes_it_again(store: ConversationStore) -> None:
    dialogue_with(ScriptedEngine("hi"), store, Wishes(seed=41)).respond("c", "hello", person="p")
    reply = store.turns("c")[1].reply
    assert reply is not None
    assert (reply.seed, reply.strategy, reply.settings) == (41, "rank", {"temperature": 0.8})
    assert [c["text"] for c in reply.candidates] == ["hi", "hi (or so)"]


def test_the_model_is_given_the_last_turns_oldest_first(store: ConversationStore) -> None:
    engine = ScriptedEngine("r1", "r2", context_turns=3)
    dialogue = dialogue_with(engine, store)
    dialogue.respond("c", "m1", person="p")
    dialogue.respond("c", "m2", person="p")
    assert engine.contexts == [["m1"], ["m1", "r1", "m2"]]


def test_conversations_do_not_mix(store: ConversationStore) -> None:
    engine = ScriptedEngine("r1", "r2")
    dialogue = dialogue_with(engine, store)
    dialogue.respond("one", "m1", person="p")
    dialogue.respond("two", "m2", person="q")
    assert engine.contexts == [["m1"], ["m2"]]


@pytest.mark.parametrize("empty", ["", "  \n\t "])
def test_an_empty_message_gets_a_word_without_the_model_or_the_memory(store: ConversationStore, empty: str) -> None:
    engine = ScriptedEngine()
    answer = dialogue_with(engine, store).respond("c", empty, person="p")
    assert (answer.reply.text, answer.turn) == (EMPTY_MESSAGE, None)
    assert engine.requests == []
    assert store.conversations() == []


def test_settings_that_differ_from_the_models_own_reach_the_engine(store: ConversationStore) -> None:
    engine = ScriptedEngine("r")
    dialogue = dialogue_with(engine, store, Wishes({"temperature": 0.3}), persona=ROBOT)
    dialogue.respond("c", "m", person="p")
    decoding = engine.requests[0].decoding
    assert decoding is not None
    assert (decoding.temperature, decoding.top_p) == (0.3, engine.decoding.top_p)
    assert engine.requests[0].persona == ROBOT


def test_the_wishes_of_one_reply_go_before_those_of_all(store: ConversationStore) -> None:
    engine = ScriptedEngine("r")
    dialogue = dialogue_with(engine, store, Wishes({"temperature": 0.3, "top_k": 5}, seed=1))
    dialogue.respond("c", "m", person="p", wishes=Wishes({"temperature": 0.9}, seed=2))
    decoding = engine.requests[0].decoding
    assert decoding is not None
    assert (decoding.temperature, decoding.top_k, engine.requests[0].seed) == (0.9, 5, 2)


def test_an_edited_message_is_answered_in_the_context_of_the_one_it_replaces(store: ConversationStore) -> None:
    engine = ScriptedEngine("r1", "r2", "r3")
    dialogue = dialogue_with(engine, store)
    dialogue.respond("c", "m1", person="p")
    second = dialogue.respond("c", "m2", person="p").turn
    assert second is not None
    assert second.parent_id is not None
    dialogue.respond("c", "m3", person="p", instead_of=second.parent_id)
    assert engine.contexts[-1] == ["m1", "r1", "m3"]
    assert [turn.text for turn in store.turns("c")] == ["m1", "r1", "m2", "r2", "m3", "r3"]
