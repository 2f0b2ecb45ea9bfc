"""The dialogue as a messenger uses it: messages that come again, and messages that are edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.dialogue import DialogueManager
from bot.engine import Reply
from storage.records import Incoming, Outgoing
from storage.store import ConversationStore, StorageConfig
from tests.fakes import FixedSlot, ScriptedEngine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield opened
    opened.close()


def dialogue_with(engine: ScriptedEngine, store: ConversationStore) -> DialogueManager:
    return DialogueManager(FixedSlot(engine), store)  # type: ignore[arg-type]


def test_a_message_that_comes_again_is_stored_once_and_its_first_answer_stays(store: ConversationStore) -> None:
    dialogue, mailbox = dialogue_with(ScriptedEngine("first", "second"), store), store.mailbox(1)
    mailbox.receive([Incoming(9, "7", {}, "telegram:7")])
    for _ in range(2):
        _, message = dialogue.respond_by_post(
            "telegram:7",
            "hello",
            lambda reply: Outgoing(1, "7", [reply.text], update_id=9),
            person="telegram:7",
            external_id="5",
        )
        assert message is not None
        assert message.parts == ("first",)
    assert [turn.text for turn in store.turns("telegram:7")] == ["hello", "first"]
    assert [message.parts for message in mailbox.unsent()] == [("first",)]
    assert mailbox.waiting() == []


def test_an_edited_message_is_answered_in_the_context_it_was_said_in(store: ConversationStore) -> None:
    engine = ScriptedEngine("r1", "r2", "r3")
    dialogue = dialogue_with(engine, store)
    for number, text in enumerate(("m1", "mm2")):
        dialogue.respond_by_post("c", text, carry, person="p", external_id=str(number))
    wrong = store.turns("c")[2]
    dialogue.respond_by_post("c", "m2", carry, person="p", external_id="1.7", instead_of=wrong.id)
    assert engine.contexts[-1] == ["m1", "r1", "m2"]
    assert [turn.text for turn in store.recent_turns("c", 9)] == ["m1", "r1", "m2", "r3"]


def carry(reply: Reply) -> Outgoing:
    return Outgoing(1, "7", [reply.text])
