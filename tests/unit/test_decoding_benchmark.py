from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.corpus import open_corpus
from seq2seq.evaluation.generation import predict_candidates
from seq2seq.evaluation.likelihood import read_test_set
from seq2seq.predictor import Predictor
from seq2seq.registry import Registry
from tests.benchmarks.decoding import Replies, read
from tests.published import publish_tiny, write_corpus


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models")
    return Predictor.load(Registry(folder).resolve(publish_tiny(folder)[0]))


def test_replies_by_other_weights_are_those_that_drawing_anew_would_give(
    predictor: Predictor, tmp_path: Path
) -> None:
    exchanges = read_test_set(open_corpus(str(write_corpus(tmp_path / "made.jsonl"))), 3).exchanges
    replies, published = Replies(predictor, exchanges), predictor.decoding.with_changes(temperature=2.0)
    other = read("blandness_weight=3 reverse_weight=-50", published)
    first = replies.by(published)
    anew = [row[0].text for row in predict_candidates(predictor, exchanges, other, range(len(exchanges)))]
    assert replies.by(other) == anew
    assert anew != first
    assert replies.by(published) == first


def test_settings_are_read_by_their_kind(predictor: Predictor) -> None:
    found = read("strategy=beam beam_size=3 temperature=0.5", predictor.decoding)
    assert (found.strategy, found.beam_size, found.temperature) == ("beam", 3, 0.5)
    with pytest.raises(SystemExit, match="no setting 'luck'"):
        read("luck=7", predictor.decoding)
