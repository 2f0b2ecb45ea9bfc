"""Given responses are judged by the same numbers that rank finds for its own candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seq2seq.config import DecodingConfig
from seq2seq.predictor import Predictor
from seq2seq.publishing import publish_model
from seq2seq.registry import Registry
from seq2seq.scoring import ManyScoring
from seq2seq.tokenizer import END
from tests.builders import SMALL_TALK, tiny_config, tiny_model, tokenizer_for


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    tokenizer = tokenizer_for(SMALL_TALK)
    registry = Registry(tmp_path_factory.mktemp("models"), Path("nowhere"))
    model = tiny_model(tiny_config(tokenizer))
    with torch.no_grad():  # short replies of letters, which have one spelling in tokens
        model.output_bias[[END, *tokenizer.encode("x y z q")]] = 6.0
    model_id = publish_model(registry, "tiny", model, tokenizer, DecodingConfig(), {})
    return Predictor.load(registry.resolve(model_id))


def test_a_row_leaves_when_its_target_is_said() -> None:
    scoring = ManyScoring([[3, 1], [2]])
    following = scoring.advance(np.log(np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]], np.float32)))
    assert (following.parents.tolist(), following.tokens.tolist(), scoring.rows) == ([0], [3], 1)
    following = scoring.advance(np.log(np.array([[0.5, 0.25, 0.125, 0.125]], np.float32)))
    assert len(following.parents) == 0
    assert scoring.log_probs == pytest.approx([np.log(0.4 * 0.25), np.log(0.3)])
    assert scoring.means == pytest.approx([np.log(0.1) / 2, np.log(0.3)])


def test_judging_gives_the_forward_score_of_scoring_alone(predictor: Predictor) -> None:
    contexts = [("Hello there.",), ("Do you like tea?", "I prefer coffee.", "Why is that?")]
    responses = [["Hi! How are you?", "Stay dry."], ["Stay dry.", "It wakes me up.", "Stay dry."]]
    judged = predictor.judge(contexts, responses)
    for context, given, terms in zip(contexts, responses, judged, strict=True):
        scores = predictor.score([context] * len(given), given)
        assert [term.forward for term in terms] == pytest.approx([s.log_prob / s.tokens for s in scores], abs=1e-5)
    assert judged[1][0] == judged[1][2]


def test_judging_a_candidate_gives_the_terms_that_rank_gave_it(predictor: Predictor) -> None:
    decoding = DecodingConfig(candidates=64, max_tokens=60)
    context = ("It is raining again.",)
    [found] = predictor.predict([context], decoding)
    spelled = [c for c in found if tuple(predictor.tokenizer.encode(c.text)) == c.token_ids and len(c.token_ids) < 60]
    [judged] = predictor.judge([context], [[candidate.text for candidate in spelled]])
    assert len(spelled) > 2
    for candidate, terms in zip(spelled, judged, strict=True):
        assert candidate.terms is not None
        assert terms.score(decoding) == pytest.approx(candidate.score, abs=1e-4)
