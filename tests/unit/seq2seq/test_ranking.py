from __future__ import annotations

import pytest

from seq2seq.config import DecodingConfig
from seq2seq.ranking import RankTerms, repetition


def test_the_score_is_the_weighted_sum() -> None:
    decoding = DecodingConfig(reverse_weight=0.5, repetition_weight=2.0, blandness_weight=0.25, length_weight=0.5)
    terms = RankTerms(forward=-1.0, reverse=-3.0, repetition=0.5, blandness=-4.0, length=3.0)
    assert terms.score(decoding) == pytest.approx(-1.0 - 1.5 - 1.0 + 1.0 + 1.5)


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
