"""Intervals of differences: right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from seq2seq.evaluation.comparison import Difference, compare_ratios, compare_sets
from seq2seq.evaluation.metrics import distinct, repeated_share


def test_a_difference_is_second_less_first() -> None:
    found = compare_ratios([1, 2, 3], [2, 3, 4], [0, 1, 2], seed=0)
    assert found == Difference(2.0, 3.0, 1.0, 1.0)
    assert found.difference == 1
    assert found.is_clear


def test_weights_divide_the_sums() -> None:
    found = compare_ratios([2, 4], [4, 8], [0, 1], seed=0, weights=[1, 2])
    assert (found.first, found.second) == (2, 4)
    assert (found.low, found.high) == (pytest.approx(2), pytest.approx(2))


def test_the_interval_is_as_wide_as_theory_says() -> None:
    noise = np.random.default_rng(1).normal(0.1, 1.0, 400)
    found = compare_ratios(np.zeros(400), noise, range(400), seed=0)
    error = noise.std() / 400**0.5
    assert found.low == pytest.approx(noise.mean() - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(noise.mean() + 1.96 * error, abs=0.02)


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        values = generator.normal(0.3, 1.0, 60)
        found = compare_ratios(np.zeros(60), values, range(60), seed=trial)
        covered += found.low <= 0.3 <= found.high
    assert 180 <= covered <= 199


def test_alike_exchanges_of_a_dialogue_count_once() -> None:
    values = np.random.default_rng(3).normal(0, 1, 50)
    alone = compare_ratios(np.zeros(50), values, range(50), seed=0)
    tenfold = compare_ratios(np.zeros(500), np.repeat(values, 10), np.repeat(range(50), 10).tolist(), seed=0)
    assert (tenfold.low, tenfold.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_variety_of_the_same_replies_does_not_differ() -> None:
    texts = [f"word{number % 7} word{number}" for number in range(40)]
    found = compare_sets(texts, texts, lambda said: distinct(said, 1), seed=0)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert not found.is_clear


def test_bland_replies_are_clearly_less_varied() -> None:
    varied = [f"word{number} and word{number + 1}" for number in range(60)]
    bland = ["I don't know." if number % 3 else text for number, text in enumerate(varied)]
    found = compare_sets(varied, bland, repeated_share, seed=0)
    assert found.difference == pytest.approx(39 / 60)
    assert found.low > 0.4
    assert found.is_clear


def test_half_samples_give_the_width_of_a_mean() -> None:
    flags = np.random.default_rng(4).random(400) < 0.3
    first, second = ["no"] * 400, ["yes" if flag else "no" for flag in flags]
    found = compare_sets(first, second, lambda said: sum(text == "yes" for text in said) / len(said), seed=0)
    error = (flags.mean() * (1 - flags.mean()) / 400) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)
