from __future__ import annotations

from pathlib import Path

import pytest

from bot.dialogue import DialogueManager, Wishes
from bot.errors import BotError
from bot.model_slot import ModelSlot
from bot.replay import Replayer
from storage.records import ReplyRecord
from storage.store import ConversationStore, StorageConfig
from tests.builders import PublishedModel


def test_a_stored_reply_is_made_again_to_the_letter_and_explained(published: PublishedModel, tmp_path: Path) -> None:
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    slot = ModelSlot(published.registry, published.model_id)
    dialogue = DialogueManager(slot, store, wishes=Wishes({"temperature": 2.0}))
    said = [dialogue.respond("c", text, person="p") for text in ("Hello there.", "Do you like tea?", "Why is that?")]
    replayer = Replayer(store, published.registry)
    for answer in said:
        assert answer.turn is not None
        turn = store.turn(answer.turn.id)
        assert turn is not None
        again = replayer.replay(turn)
        assert (again.text, again.seed) == (answer.reply.text, answer.reply.seed)
        assert [c.text for c in again.candidates] == [c.text for c in answer.reply.candidates]
        assert "attention: <forward> <them>" in " ".join(replayer.explain(turn).split())
    store.close()


def test_what_no_model_here_wrote_is_not_made_again(published: PublishedModel, tmp_path: Path) -> None:
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    asked = store.add_turn("c", "hello", person="p")
    reply = store.add_reply(asked, "hi", ReplyRecord("long-gone", "rank", 1, 1, 1.0))
    replayer = Replayer(store, published.registry)
    with pytest.raises(BotError, match="no reply of a model"):
        replayer.replay(asked)
    with pytest.raises(BotError, match="long-gone"):
        replayer.replay(reply)
    assert "The model long-gone is not loaded" in replayer.explain(reply)
    store.close()
