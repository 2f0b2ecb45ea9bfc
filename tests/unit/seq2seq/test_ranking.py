from __future__ import annotations

import math
from dataclasses import fields

import pytest

from seq2seq.config import DecodingConfig
from seq2seq.ranking import RankTerms, repetition, term_weights, weight_settings


def test_the_score_is_the_weighted_sum() -> None:
    decoding = DecodingConfig(
        reverse_weight=0.5, repetition_weight=2.0, blandness_weight=0.25, commonness_weight=0.2, length_weight=0.5
    )
    terms = RankTerms(forward=-1.0, reverse=-3.0, repetition=0.5, blandness=-4.0, commonness=6.0, length=3.0)
    assert terms.score(decoding) == pytest.approx(-1.0 - 1.5 - 1.0 + 1.0 - 1.2 + 1.5)


def test_weights_and_settings_are_two_ways_to_say_the_same() -> None:
    assert list(term_weights(DecodingConfig())) == [field.name for field in fields(RankTerms)]
    settings = {
        "reverse_weight": 0.5,
        "repetition_weight": 2.0,
        "blandness_weight": -0.25,
        "commonness_weight": 0.2,
        "length_weight": 0.75,
    }
    weights = term_weights(DecodingConfig(**settings))
    assert weights["forward"] == 1.0
    assert weights["repetition"] == -2.0
    assert weight_settings(weights.values()) == settings


def test_only_a_whole_reply_that_is_likely_everywhere_is_common() -> None:
    def terms(tokens: int, unprompted: float) -> RankTerms:
        return RankTerms.of(range(tokens), [], forward=-1.0, reverse=-2.0, unprompted=unprompted)

    short, long = terms(3, -8.0), terms(9, -20.0)
    assert short.blandness == long.blandness == -2.0  # to the mean they are alike
    assert short.commonness == pytest.approx(-8.0 - math.log(1e-7))
    assert long.commonness == 0.0
    assert (short.length, short.repetition) == (pytest.approx(math.log(4)), 0.0)


def test_repetition_counts_bigrams_that_come_again() -> None:
    assert repetition([1, 2, 3, 4], []) == 0.0
    assert repetition([1, 2, 1, 2], []) == pytest.approx(1 / 3)  # 1 2, 2 1, 1 2: two different of three
    assert repetition([5, 5, 5, 5, 5], []) == pytest.approx(3 / 4)


def test_repetition_of_the_dialogue_counts_bigrams_heard_before() -> None:
    assert repetition([1, 2, 3], [[9, 1, 2], [7]]) == pytest.approx(1 / 2)
    assert repetition([1, 2, 3], [[1], [2, 3]]) == pytest.approx(1 / 2)  # no bigram across turns
    assert repetition([1, 2, 3], [[1, 2, 3]]) == 1.0


def test_a_single_token_repeats_only_a_turn_that_is_the_same() -> None:
    assert repetition([4], [[4]]) == 1.0
    assert repetition([4], [[4, 5]]) == 0.0
    assert repetition([], [[4]]) == 0.0
