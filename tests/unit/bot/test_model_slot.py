from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.dialogue import DialogueManager
from bot.model_slot import ModelSlot
from bot.talk import Talk
from seq2seq.config import DecodingConfig, TrainingConfig
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from storage.store import ConversationStore, StorageConfig
from tests.builders import PublishedModel, train_tiny

SMALL_TALK = (("你好吗？我们去公园散步吧", "今天天气真好，我们去吧"), ("今天天气真好", "我想去公园散步"))
ENGLISH, CHINESE = "What is your name?", "今天天气真好"


@pytest.fixture(scope="module")
def both(published: PublishedModel, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry that ships an English and a Chinese model, neither of which can say much."""
    folder = tmp_path_factory.mktemp("both")
    training = TrainingConfig(updates=20, batch_size=4, validations=1)
    model, tokenizer, _ = train_tiny(SMALL_TALK, folder, training, vocab_size=340)
    registry = Registry(folder / "models", folder / "shipped")
    trained = publish_model(registry, "chinese", model, tokenizer, DecodingConfig(candidates=2), {})
    shutil.copytree(registry.models_dir / trained, folder / "shipped" / "chinese")
    shutil.copytree(published.path, folder / "shipped" / "english")
    return registry


def test_the_model_that_knows_the_language_of_the_newest_turn_replies(both: Registry) -> None:
    slot = ModelSlot(both)
    english, chinese = slot.engine_for([ENGLISH]), slot.engine_for([CHINESE])
    assert english is slot.engine
    assert chinese is not english
    assert slot.engine_for([CHINESE, ENGLISH]) is english
    assert slot.engine_for([ENGLISH, CHINESE]) is chinese
    assert slot.engine_for([]) is english


def test_a_turn_that_shows_no_language_leaves_it_to_those_before(both: Registry) -> None:
    slot = ModelSlot(both)
    assert slot.engine_for([CHINESE, "a"]) is slot.engine_for([CHINESE])
    assert slot.engine_for([ENGLISH, "a"]) is slot.engine


def test_a_model_that_was_asked_for_by_name_answers_in_every_language(both: Registry) -> None:
    slot = ModelSlot(both, "english")
    assert slot.engine_for([CHINESE]) is slot.engine


def test_a_damaged_model_of_another_language_is_not_used(both: Registry, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    shutil.copytree(both.resolve("english").parent, shipped)
    (shipped / "chinese" / "step.onnx").write_bytes(b"damaged")
    slot = ModelSlot(Registry(tmp_path / "models", shipped))
    assert slot.engine_for([CHINESE]) is slot.engine


def test_a_reply_names_the_model_of_its_language_and_its_settings(both: Registry, tmp_path: Path) -> None:
    slot = ModelSlot(both)
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    talk = Talk(DialogueManager(slot, store), slot, "terminal:ada", "c1", lambda is_off: store)
    replies = [talk.say(text).reply for text in (ENGLISH, CHINESE)]
    ids = [slot.engine_for([text]).model_id for text in (ENGLISH, CHINESE)]
    assert [reply.model_id for reply in replies] == ids
    assert len(set(ids)) == 2
    assert [reply.settings["candidates"] for reply in replies] == [24, 2]
    turn, explanation = talk.explain()
    assert (turn.model_id, explanation is not None) == (ids[1], True)
    store.close()
