"""The training path: what is refused before it begins, and what a published model tells of its origin."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from seq2seq.config import PRESETS, DecodingConfig, TrainingConfig
from seq2seq.errors import RegistryError
from seq2seq.model_files import load_model_dir
from seq2seq.pipeline import TrainRequest, train
from seq2seq.registry import Registry
from seq2seq.tokenizer import Tokenizer
from tests.builders import KEEP_ALL
from tests.published import publish_tiny, write_corpus


def request(corpus: Path, parent: str | None = None, name: str = "mine") -> TrainRequest:
    training = TrainingConfig(updates=1, batch_size=4, validations=1, device="cpu")
    return TrainRequest(
        name, (str(corpus),), (str(corpus),), parent, PRESETS["tiny"], training, KEEP_ALL, DecodingConfig()
    )


@pytest.mark.parametrize("name", ["my model", "a/b", "../x", ""])
def test_a_name_that_cannot_be_published_is_refused_before_training(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="letters, digits"):
        request(tmp_path / "corpus.jsonl", name=name)


def test_a_model_names_its_parent_by_id_however_that_was_named(tmp_path: Path) -> None:
    parent_id, _, _ = publish_tiny(tmp_path / "elsewhere")
    registry = Registry(tmp_path / "models", tmp_path / "shipped")
    asked = request(write_corpus(tmp_path / "corpus.jsonl"), parent=str(tmp_path / "elsewhere" / parent_id))
    child_id = train(asked, registry, tmp_path / "runs", tmp_path / "cache")
    manifest = load_model_dir(registry.resolve(child_id)).manifest
    assert manifest["parent"] == parent_id
    assert str(tmp_path) not in repr(manifest)  # the folders of this machine are nobody's business
    assert dataclasses.asdict(asked)["training"] == manifest["request"]["training"]


def test_a_new_vocabulary_is_that_of_the_corpora(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models", tmp_path / "shipped")
    parent, _, _ = publish_tiny(tmp_path / "models")
    turns = [["A", "Where is my zebra?"], ["B", "Zebras are in the zoo."]]
    corpus = write_corpus(tmp_path / "corpus.jsonl", [{"turns": turns}] * 20)
    kept, moved = (
        load_model_dir(registry.resolve(train(asked, registry, tmp_path / "runs", tmp_path / "cache")))
        for asked in (
            request(corpus, parent=parent, name="kept"),
            dataclasses.replace(request(corpus, parent=parent, name="moved"), new_vocabulary=True),
        )
    )
    read, spelled = (Tokenizer.load(model.path / "tokenizer.json").encode("Zebra") for model in (moved, kept))
    assert len(read) == 1 < len(spelled)
    assert moved.config.vocab_size <= kept.config.vocab_size
    assert dataclasses.replace(moved.config, vocab_size=kept.config.vocab_size) == kept.config
