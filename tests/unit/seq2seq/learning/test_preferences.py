from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from seq2seq.config import DecodingConfig
from seq2seq.learning.preferences import Pair, find_pairs, fit_weights, learn_preferences
from seq2seq.predictor import Predictor
from tests.published import publish_tiny

NOW = np.array([1.0, 0.8, -0.5, -0.9])


@dataclass(frozen=True)
class Judged:
    answers: int
    response: str
    is_rejected: bool = False
    context: tuple[str, ...] = ("Tea?",)


def preferences(weights: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return differences of terms of which somebody with these weights preferred every one."""
    drawn = np.random.default_rng(seed).normal(size=(count, 4))
    chances = 1 / (1 + np.exp(-drawn @ weights))
    chosen = np.random.default_rng(seed + 1).random(count) < chances
    return np.where(chosen[:, None], drawn, -drawn)


def test_many_pairs_tell_what_people_go_by() -> None:
    theirs = np.array([1.0, 2.0, -1.5, 0.3])
    fitted = fit_weights(preferences(theirs, 20_000), NOW, prior_pairs=20)
    np.testing.assert_allclose(fitted, theirs, atol=0.15)


def test_few_pairs_move_the_weights_little_and_more_pairs_more() -> None:
    theirs = np.array([1.0, 2.0, -1.5, 0.3])
    moves = [np.abs(fit_weights(preferences(theirs, count), NOW, 20) - NOW).max() for count in (2, 200)]
    assert moves[0] < 0.2 < moves[1]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pairs_that_all_differ_alike_are_as_few_as_they_are(count: int) -> None:
    alike = np.tile([0.1, 0.5, 0.2, -0.3], (count, 1)) + 0.001 * np.arange(count)[:, None]
    moves = np.abs(fit_weights(alike, NOW, 20) - NOW) * np.abs(alike[0])
    assert 0 < moves.max() < 0.05 * count


def test_the_unit_of_scores_stays() -> None:
    assert fit_weights(preferences(np.array([5.0, 0, 0, 0]), 500), NOW, 20)[0] == 1.0


def test_pairs_that_do_not_differ_change_nothing() -> None:
    np.testing.assert_allclose(fit_weights(np.zeros((50, 4)), NOW, 20), NOW)


def test_pairs_are_made_of_what_answers_the_same_turn() -> None:
    found = find_pairs(
        [
            Judged(1, "Yes, please."),
            Judged(1, "I do not know.", is_rejected=True),
            Judged(2, "Never."),
            Judged(3, "What?", is_rejected=True),
            Judged(1, "Yes, please.", is_rejected=True),
        ]
    )
    assert found == [Pair(("Tea?",), "Yes, please.", "I do not know.")]


def test_a_model_ranks_what_was_chosen_higher_than_before(tmp_path: Path) -> None:
    model_id, _, _ = publish_tiny(tmp_path)
    predictor = Predictor.load(tmp_path / model_id)
    pairs = [
        Pair(("Hello there.",), "Hi! How are you?", "Hello there. Hello there."),
        Pair(("Tea?",), "Yes.", "Tea?"),
    ]
    before = DecodingConfig()
    after = learn_preferences(predictor, pairs * 30, before)
    terms = predictor.judge([pair.context for pair in pairs], [[pair.chosen, pair.rejected] for pair in pairs])

    def lead(decoding: DecodingConfig) -> float:
        return sum(chosen.score(decoding) - rejected.score(decoding) for chosen, rejected in terms)

    assert lead(after) > lead(before)


def test_without_pairs_the_settings_stay(tmp_path: Path) -> None:
    model_id, _, _ = publish_tiny(tmp_path)
    assert learn_preferences(Predictor.load(tmp_path / model_id), [], DecodingConfig()) == DecodingConfig()


@pytest.mark.parametrize("count", [1, 3])
def test_no_weight_runs_away(count: int) -> None:
    assert np.abs(fit_weights(np.full((count, 4), 100.0) * np.arange(4), NOW, 0.01)).max() <= 5.0
