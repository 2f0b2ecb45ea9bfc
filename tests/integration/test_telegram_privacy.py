"""What the messenger's /forget and /export do to the memory, and what they say of models."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.messenger.commands import Desk, Said, export_of
from bot.messenger.intake import Message
from bot.messenger.metrics import Metrics
from bot.messenger.texts import languages
from bot.model_slot import ModelSlot
from seq2seq.config import DecodingConfig
from seq2seq.provenance import LearnedRound
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from storage.records import Incoming
from storage.store import ConversationStore, StorageConfig
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for
from tests.talk import BOB, say

PLACE = "telegram:7"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield opened
    opened.close()


def send(store: ConversationStore, registry: Registry, name: str, arguments: str, language: str = "en") -> Said:
    """Let Bob command something in his private chat."""
    slot = ModelSlot(registry, "echo")
    own = Desk(store, store.mailbox(1), slot, registry, Metrics(), registry.models_dir.parent / "runs").find(
        name, is_admin=False
    )
    assert own is not None
    message = Message(7, None, 5, 7, language, True, f"/{name} {arguments}", (name, arguments), False)
    return own(message, arguments, languages().of(language))


def test_forgetting_takes_what_waits_to_be_learned_along(store: ConversationStore, tmp_path: Path) -> None:
    store.people.set_consent(BOB, True)
    asked, reply = say(store, "good morning", "hello", conversation=PLACE, person=BOB)
    store.rate(reply.id, BOB, 1)
    store.teach(asked.id, BOB, "good morning, Bob")
    store.mailbox(1).receive([Incoming(9, "7", {"message": "not answered yet"}, BOB)])
    assert {exchange.response for exchange in store.exchanges()} == {"hello", "good morning, Bob"}
    said = send(store, Registry(tmp_path), "forget", "everything")
    assert said.text == "It is all erased: 2 messages. Write to me, and we begin anew."
    assert not said.is_kept
    assert list(store.exchanges()) == []
    assert store.mailbox(1).waiting() == []
    assert send(store, Registry(tmp_path), "export", "").text == "Nothing is kept about you."


def test_an_export_has_what_was_rated_and_taught_and_which_models_saw_it(
    store: ConversationStore, tmp_path: Path
) -> None:
    asked, reply = say(store, "good morning", "hello", conversation=PLACE, person=BOB)
    store.rate(reply.id, BOB, -1)
    store.teach(asked.id, BOB, "good morning, Bob")
    registry = Registry(tmp_path / "models")
    model = publish_learned(registry, asked.id)
    facts = json.loads(export_of(store, registry, BOB))
    assert facts["models"] == [model]
    first, second = facts["conversations"][0]["turns"]
    assert first["taught"] == {BOB: "good morning, Bob"}
    assert second["ratings"] == {BOB: -1}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_who_is_forgotten_is_told_which_models_saw_their_words_and_so_is_the_owner(
    store: ConversationStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, language: str
) -> None:
    registry = Registry(tmp_path / "models")
    asked, _ = say(store, "good morning", "hello", conversation=PLACE, person=BOB)
    model = publish_learned(registry, asked.id)
    with caplog.at_level(logging.WARNING):
        said = send(store, registry, "forget", "everything", language)
    assert said.text.endswith(languages().of(language).say("forgotten_models", models=model))
    assert f"Trained on what was just erased: {model}." in caplog.text
    assert "morning" not in caplog.text


def test_reports_that_may_hold_the_erased_words_go_with_them(store: ConversationStore, tmp_path: Path) -> None:
    say(store, "good morning", "hello", conversation=PLACE, person=BOB)
    page = tmp_path / "runs" / "20260101-120000-retrain" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("before: good morning", encoding="utf-8")
    send(store, Registry(tmp_path / "models"), "forget", "everything")
    assert not page.exists()


def publish_learned(registry: Registry, turn_id: int) -> str:
    """Publish a model that was trained on a turn."""
    tokenizer = tokenizer_for(SMALL_TALK)
    round_ = LearnedRound(datetime.now(UTC), "salt", (turn_id,), ("digest",), {"said": 1})
    return publish_model(
        registry, "mine", tiny_model(tiny_config(tokenizer)), tokenizer, DecodingConfig(), {}, [round_]
    )
