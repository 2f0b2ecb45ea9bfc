from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seq2seq.config import PRESETS, DecodingConfig, TrainingConfig
from seq2seq.errors import ModelFilesError
from seq2seq.model_files import LEARNED, load_model_dir
from seq2seq.pipeline import TrainRequest, train
from seq2seq.provenance import LearnedRound, digest_of, erased_since, models_that_saw, read_learned
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from tests.builders import KEEP_ALL, SMALL_TALK, ListCorpus
from tests.published import publish_tiny

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    context: tuple[str, ...]
    response: str
    turn_ids: tuple[int, ...]
    origin: str = "person"


TEA = Known(("Do you like tea?",), "I drink it by the bucket.", (4, 5))
RAIN = Known(("Is it raining?",), "When is it not?", (7, 9), "taught")


def published(folder: Path, *rounds: LearnedRound) -> tuple[Registry, str]:
    """Publish a model that went through these rounds, beside one that went through none."""
    registry = Registry(folder / "models", folder / "shipped")
    _, model, tokenizer = publish_tiny(registry.models_dir)
    return registry, publish_model(registry, "learned", model, tokenizer, DecodingConfig(), {}, rounds)


def test_a_model_tells_which_turns_it_was_trained_on(tmp_path: Path) -> None:
    first, second = LearnedRound.of([TEA], NOON), LearnedRound.of([RAIN, TEA], NOON + timedelta(days=7))
    registry, model_id = published(tmp_path, first, second)
    model = load_model_dir(registry.resolve(model_id), verify_digests=True)
    assert read_learned(model) == (first, second)
    assert second.turn_ids == (4, 5, 7, 9)
    assert model.manifest["learned"] == {
        "collected": "2026-03-08T12:00:00+00:00",
        "exchanges": 2,
        "origins": {"taught": 1, "person": 1},
        "turns": 4,
        "rounds": 2,
    }


def test_the_list_holds_no_words_and_whoever_has_them_finds_them(tmp_path: Path) -> None:
    registry, model_id = published(tmp_path, LearnedRound.of([TEA], NOON))
    content = (registry.resolve(model_id) / LEARNED).read_text()
    assert "tea" not in content
    assert "bucket" not in content
    (round_,) = read_learned(load_model_dir(registry.resolve(model_id)))
    assert digest_of(TEA.context, TEA.response, round_.salt) in round_.digests
    assert digest_of(TEA.context, "I drink it by the cup.", round_.salt) not in round_.digests


def test_the_lists_of_two_models_cannot_be_compared() -> None:
    assert LearnedRound.of([TEA], NOON).digests != LearnedRound.of([TEA], NOON).digests


class MemoryLike(ListCorpus):
    """A corpus that tells which turns it is made of."""

    def learned_round(self, collected: datetime) -> LearnedRound:
        return LearnedRound.of([RAIN], collected)


def test_training_on_a_memory_is_listed_behind_what_the_parent_saw(tmp_path: Path) -> None:
    registry, parent = published(tmp_path, LearnedRound.of([TEA], NOON))
    request = TrainRequest(
        name="more",
        corpora=("memory",),
        valid=("memory",),
        parent=parent,
        model=PRESETS["tiny"],
        training=TrainingConfig(updates=1, validations=1, held_out_share=0.0),
        cleaning=KEEP_ALL,
        decoding=DecodingConfig(),
    )
    corpus = MemoryLike(SMALL_TALK)
    made = train(request, registry, tmp_path / "runs", tmp_path / "cache", lambda name: corpus)
    before, after = read_learned(load_model_dir(registry.resolve(made)))
    assert before.turn_ids == TEA.turn_ids
    assert after.turn_ids == RAIN.turn_ids
    assert after.collected > NOON


def test_models_that_saw_a_turn_are_found(tmp_path: Path) -> None:
    registry, model_id = published(tmp_path, LearnedRound.of([TEA], NOON))
    assert models_that_saw(registry, {5, 100}) == [model_id]
    assert models_that_saw(registry, {7}) == []


def test_a_model_whose_list_is_damaged_may_have_seen_any_turn(tmp_path: Path) -> None:
    registry, model_id = published(tmp_path, LearnedRound.of([TEA], NOON))
    path = registry.resolve(model_id) / LEARNED
    path.write_bytes(path.read_bytes().replace(b"4", b"3"))
    assert models_that_saw(registry, {7}) == [model_id]  # and not an error: what is to be erased must go


def test_only_turns_that_went_after_they_were_read_are_missed() -> None:
    erased = {4: NOON - timedelta(hours=1), 7: NOON + timedelta(hours=1), 50: NOON + timedelta(hours=1)}
    rounds = (LearnedRound.of([TEA, RAIN], NOON),)
    assert erased_since(rounds, lambda moment: {turn for turn, when in erased.items() if when >= moment}) == 1


def test_a_model_that_was_only_trained_lists_nothing(tmp_path: Path) -> None:
    model_id, _, _ = publish_tiny(tmp_path / "models")
    assert read_learned(load_model_dir(tmp_path / "models" / model_id)) == ()


def test_a_list_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    registry, model_id = published(tmp_path, LearnedRound.of([TEA], NOON))
    path = registry.resolve(model_id) / LEARNED
    content = json.loads(path.read_text())
    content["rounds"][0]["turn_ids"] = [1, 2]
    path.write_text(json.dumps(content).ljust(path.stat().st_size - 1) + "\n")
    with pytest.raises(ModelFilesError, match="SHA-256 is not the manifest's"):
        load_model_dir(registry.resolve(model_id), verify_digests=True)
