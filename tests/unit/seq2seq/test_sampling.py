from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seq2seq.config import DecodingConfig
from seq2seq.sampling import (
    draw,
    filtered,
    keep_above_min,
    keep_likely_pieces,
    keep_nucleus,
    keep_typical,
    log_normalisers,
    penalise_repetition,
    sample,
    top_tokens,
)


def _array(*rows: list[float]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32)


def _kept(probs: np.ndarray[Any, np.dtype[np.float32]]) -> list[list[int]]:
    return [list(np.flatnonzero(row)) for row in probs]


def test_normalisers_are_the_log_of_the_sum_of_exponentials() -> None:
    logits = np.log(_array([1.0, 2.0, 5.0], [0.5, 0.25, 0.25])) + _array([100.0], [0.0])
    np.testing.assert_allclose(log_normalisers(logits), [100 + np.log(8), 0.0], atol=1e-5)


def test_temperature_divides_the_logits_before_they_are_summed() -> None:
    logits = np.log(_array([1.0, 4.0, 9.0]))
    np.testing.assert_allclose(log_normalisers(logits, 2.0), [np.log(1 + 2 + 3)], atol=1e-6)


def test_repetition_divides_positive_and_multiplies_negative_logits() -> None:
    decoding = DecodingConfig(repetition_penalty=2.0)
    logits = _array([4.0, -3.0, 1.0], [4.0, -3.0, 1.0])
    penalised = penalise_repetition(logits, [[0, 1], []], decoding)
    assert penalised.tolist() == [[2.0, -6.0, 1.0], [4.0, -3.0, 1.0]]
    assert logits.tolist() == [[4.0, -3.0, 1.0], [4.0, -3.0, 1.0]]


def test_presence_counts_once_and_frequency_every_time() -> None:
    decoding = DecodingConfig(presence_penalty=1.0, frequency_penalty=0.25)
    penalised = penalise_repetition(_array([4.0, 3.0, 1.0]), [[0, 0, 0, 1]], decoding)
    assert penalised.tolist() == [[4.0 - 1.0 - 0.75, 3.0 - 1.0 - 0.25, 1.0]]


def test_penalties_that_are_off_cost_no_copy() -> None:
    logits = _array([1.0, 2.0])
    assert penalise_repetition(logits, [[0]], DecodingConfig()) is logits


def test_top_tokens_come_largest_first_and_ties_go_to_the_lower_token() -> None:
    tokens, values = top_tokens(_array([1.0, 7.0, 3.0, 7.0, 3.0, 3.0]), 4)
    assert tokens.tolist() == [[1, 3, 2, 4]]
    assert values.tolist() == [[7.0, 7.0, 3.0, 3.0]]


def test_top_tokens_in_groups_keep_every_tie_at_the_threshold_in_order() -> None:
    logits = np.full((1, 1000), 1.0, np.float32)  # groups of 250
    logits[0, [999, 500]] = 2.0
    assert top_tokens(logits, 1)[0].tolist() == [[500]]
    assert top_tokens(logits, 4)[0].tolist() == [[500, 999, 0, 1]]


def test_more_tokens_than_there_are_is_all_of_them() -> None:
    assert top_tokens(_array([1.0, 3.0, 2.0]), 9)[0].tolist() == [[1, 2, 0]]


def test_a_nucleus_is_the_least_set_that_reaches_top_p() -> None:
    probs = _array([0.5, 0.25, 0.125, 0.125])
    assert _kept(keep_nucleus(probs, 0.4)) == [[0]]
    assert _kept(keep_nucleus(probs, 0.5)) == [[0]]  # it holds 0.5 already
    assert _kept(keep_nucleus(probs, 0.51)) == [[0, 1]]
    assert _kept(keep_nucleus(probs, 0.8)) == [[0, 1, 2]]
    assert _kept(keep_nucleus(probs, 1.0)) == [[0, 1, 2, 3]]


def test_the_likeliest_token_survives_the_smallest_nucleus() -> None:
    assert _kept(keep_nucleus(_array([0.25] * 4), 1e-6)) == [[0]]


def test_piece_min_p_keeps_every_new_word_and_only_likely_pieces() -> None:
    tokens, probs = np.array([[2, 0, 1, 3]]), _array([0.5, 0.3, 0.15, 0.05])
    pieces = np.array([False, True, False, True])
    assert _kept(keep_likely_pieces(tokens, probs, pieces, 0.31)) == [[0, 1]]  # 1 and 3 are pieces, and unlikely
    assert _kept(keep_likely_pieces(tokens, probs, pieces, 0.3)) == [[0, 1, 2]]
    assert _kept(keep_likely_pieces(tokens, probs, ~pieces, 1.0)) == [[0, 2, 3]]


def test_unlikely_pieces_are_never_drawn() -> None:
    logits = np.log(np.tile(np.array([[0.4, 0.3, 0.2, 0.1]], np.float32), (200, 1)))
    pieces = np.array([False, False, False, True])
    uniforms = np.linspace(0, 1, 200, endpoint=False)
    for settings in ({"top_p": 1.0}, {"top_p": 0.95}, {"top_k": 4}):
        decoding = DecodingConfig(temperature=1.0, piece_min_p=0.5).with_changes(**settings)
        assert set(sample(logits, decoding, uniforms, pieces).tolist()) == {0, 1, 2}
        is_off = decoding.with_changes(piece_min_p=0.0, top_p=1.0)
        assert set(sample(logits, is_off, uniforms, pieces).tolist()) == {0, 1, 2, 3}


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest() -> None:
    probs = _array([0.5, 0.3, 0.15, 0.05])
    assert _kept(keep_above_min(probs, 0.3)) == [[0, 1, 2]]  # 0.15 is 0.3 times 0.5
    assert _kept(keep_above_min(probs, 0.31)) == [[0, 1]]
    assert _kept(keep_above_min(probs, 0.0)) == [[0, 1, 2, 3]]


def test_typical_tokens_are_those_as_surprising_as_expected() -> None:
    # Entropy: 0.5 ln 2 + 0.25 ln 4 + 2 * 0.125 ln 8 = 1.213 nats. Surprises: 0.693, 1.386 and twice 2.079, so
    # token 1 is nearest (0.17 away), then 0 (0.52), then 2 and 3 (0.87).
    probs = _array([0.5, 0.25, 0.125, 0.125])
    assert keep_typical(probs, 0.2).tolist() == [[0.0, 1.0, 0.0, 0.0]]
    np.testing.assert_allclose(keep_typical(probs, 0.3), [[2 / 3, 1 / 3, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(keep_typical(probs, 0.8), [[4 / 7, 2 / 7, 1 / 7, 0]], rtol=1e-6)


def test_filters_apply_in_the_documented_order() -> None:
    logits = np.log(_array([0.1, 0.4, 0.2, 0.3]))
    # top-k leaves 4/9, 3/9, 2/9; 0.7 of that is reached by two tokens, of the whole it would take three.
    tokens, probs = filtered(logits, DecodingConfig(temperature=1.0, top_k=3, top_p=0.7), 4)
    assert tokens.tolist() == [[1, 3, 2]]
    np.testing.assert_allclose(probs, [[4 / 9, 3 / 9, 0]], rtol=1e-5)
    # Typical-p goes first: entropy 1.28, nearest 0.3, then 0.2. Of these 0.3 alone holds half; of all it would not.
    tokens, probs = filtered(logits, DecodingConfig(temperature=1.0, typical_p=0.45, top_p=0.5), 4)
    assert tokens[0, probs[0] > 0].tolist() == [3]
    # min-p comes behind the temperature: squared, 0.3 is 9/16 as likely as 0.4.
    tokens, probs = filtered(logits, DecodingConfig(temperature=0.5, top_p=1.0, min_p=0.6), 4)
    assert tokens[0, probs[0] > 0].tolist() == [1]
    tokens, probs = filtered(logits, DecodingConfig(temperature=0.5, top_p=1.0, min_p=0.55), 4)
    assert tokens[0, probs[0] > 0].tolist() == [1, 3]


def test_a_draw_inverts_the_cumulative_distribution() -> None:
    tokens = np.array([[7, 8, 9]] * 5)
    probs = _array(*[[0.5, 0.25, 0.25]] * 5)
    drawn = draw(tokens, probs, np.array([0.0, 0.49, 0.5, 0.75, 0.999999]))
    assert drawn.tolist() == [7, 7, 8, 9, 9]


def test_a_draw_never_takes_a_filtered_token() -> None:
    probs = _array([0.0, 0.3, 0.0, 0.2, 0.0])
    drawn = [int(draw(np.arange(5)[None], probs, np.array([u]))[0]) for u in (0.0, 0.59, 0.61, 1 - 1e-16)]
    assert drawn == [1, 1, 3, 3]


def test_a_sample_is_of_the_tempered_distribution() -> None:
    logits = np.log(_array(*[[0.1, 0.4, 0.2, 0.3]] * 20000))
    uniforms = np.random.default_rng(0).random(20000)
    drawn = sample(logits, DecodingConfig(temperature=0.5, top_p=1.0), uniforms)
    shares = np.bincount(drawn, minlength=4) / 20000
    np.testing.assert_allclose(shares, np.array([1, 16, 4, 9]) / 30, atol=0.01)


@pytest.mark.parametrize("settings", [{"top_p": 0.9}, {"top_p": 1.0, "min_p": 0.02}, {"top_p": 0.999, "min_p": 1e-4}])
def test_sorting_only_the_likeliest_draws_what_sorting_all_draws(settings: dict[str, float]) -> None:
    generator = np.random.default_rng(3)
    sharpness = np.array([[0.2], [1.0], [2.0], [4.0], [8.0]] * 4)  # some rows need all tokens, some a few
    logits = (generator.standard_normal((20, 8192)) * sharpness).astype(np.float32)
    logits[:, ::5] = np.round(logits[:, ::5])  # ties
    decoding, uniforms = DecodingConfig(temperature=1.0, **settings), generator.random(20)
    tokens, probs = filtered(logits, decoding, 8192)
    assert sample(logits, decoding, uniforms).tolist() == draw(tokens, probs, uniforms).tolist()
