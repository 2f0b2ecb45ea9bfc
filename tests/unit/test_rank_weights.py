from __future__ import annotations

import numpy as np

from tests.benchmarks.rank_weights import fit, hits


def test_the_fit_finds_the_term_that_tells_and_leaves_the_one_that_does_not() -> None:
    generator = np.random.default_rng(0)
    terms = generator.normal(size=(400, 20, 2))
    terms[:, 0, 0] += 3.0  # the own response stands out by its first term alone
    weights = fit(terms, steps=500)
    assert weights[0] > 5 * abs(weights[1])
    assert hits(terms, weights) > 0.8 > hits(terms, np.array([0.0, 1.0]))
