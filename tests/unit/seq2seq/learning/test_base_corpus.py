from __future__ import annotations

import json
from pathlib import Path

import pytest

from seq2seq.config import CleaningConfig, RetrainingConfig
from seq2seq.corpus import open_corpus
from seq2seq.learning.base_corpus import open_base
from seq2seq.predictor import Predictor
from tests.published import publish_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    models = tmp_path_factory.mktemp("models")
    model_id, _, _ = publish_tiny(models)
    return Predictor.load(models / model_id)


def write_talks(path: Path, count: int) -> str:
    talks = [
        {
            "id": str(n),
            "turns": [
                {"speaker": "A", "text": f"Do you like tea number {n}?"},
                {"speaker": "B", "text": f"I drank {n} cups."},
            ],
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(talk) + "\n" for talk in talks), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("talks", [1, 100])
def test_a_base_of_which_almost_nothing_is_held_out_is_not_replayed(
    tiny: Predictor, tmp_path: Path, talks: int
) -> None:
    base = write_talks(tmp_path / "few.jsonl", talks)
    config = RetrainingConfig(base=(base,), rehearsals=0)
    said: list[str] = []
    found = open_base(
        config, tiny, ["I like tea."], CleaningConfig(), tmp_path, open_corpus, said.append, lambda *_: None
    )
    assert found is None
    assert "held-out exchanges do not tell what is forgotten" in said[-1]


def test_a_base_is_split_in_what_is_replayed_and_two_halves_that_are_not(tiny: Predictor, tmp_path: Path) -> None:
    base = write_talks(tmp_path / "many.jsonl", 1500)
    said: list[str] = []
    found = open_base(
        RetrainingConfig(base=(base,)),
        tiny,
        ["I like tea."],
        CleaningConfig(),
        tmp_path,
        open_corpus,
        said.append,
        lambda *_: None,
    )
    assert found is not None
    assert not said
    held_out = len(found.choose) + len(found.judge.exchanges)
    assert held_out >= 10
    assert abs(len(found.choose) - len(found.judge.exchanges)) <= 1
    assert len(found.train) + held_out == 1500
