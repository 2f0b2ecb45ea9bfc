"""What people chose and rejected, learned by the ranking: weights fitted to pairs of replies in the same place.

Bradley & Terry (1952): the chance that a reply is preferred is the logistic function of the difference of scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig
from seq2seq.predictor import Predictor
from seq2seq.ranking import term_weights, weight_settings

_STEPS = 50  # of Newton's method; it is there after five
_LARGEST = 5.0  # a weight beyond this is no preference any more
Floats = NDArray[np.float64]


class JudgedExchange(Protocol):
    """A reply that people judged."""

    @property
    def context(self) -> Sequence[str]: ...

    @property
    def response(self) -> str: ...

    @property
    def is_rejected(self) -> bool: ...

    @property
    def answers(self) -> int:
        """Return the turn that it answers."""


@dataclass(frozen=True)
class Pair:
    """Two replies to the same turn, of which people preferred one."""

    context: tuple[str, ...]
    chosen: str
    rejected: str


def find_pairs(exchanges: Iterable[JudgedExchange]) -> list[Pair]:
    """Return every chosen reply beside every rejected one to the same turn."""
    places: dict[int, tuple[list[JudgedExchange], list[JudgedExchange]]] = defaultdict(lambda: ([], []))
    for exchange in exchanges:
        places[exchange.answers][exchange.is_rejected].append(exchange)
    return [
        Pair(tuple(rejected.context), chosen.response, rejected.response)
        for good, bad in places.values()
        for chosen in good
        for rejected in bad
        if chosen.response != rejected.response
    ]


def learn_preferences(
    predictor: Predictor, pairs: Sequence[Pair], decoding: DecodingConfig, prior_pairs: float = 20.0
) -> DecodingConfig:
    """Return the settings with the weights of ``rank`` moved towards what people preferred.

    Args:
        prior_pairs: precision of the prior: see ``fit_weights``.
    """
    if not pairs:
        return decoding
    judged = predictor.judge([pair.context for pair in pairs], [[pair.chosen, pair.rejected] for pair in pairs])
    terms = np.array([[astuple(reply) for reply in pair] for pair in judged])  # [pairs, 2, terms]
    weights = np.array(list(term_weights(decoding).values()))
    fitted = fit_weights(terms[:, 0] - terms[:, 1], weights, prior_pairs)
    return decoding.with_changes(**weight_settings(round(float(weight), 4) for weight in fitted))


def fit_weights(differences: Floats, weights: Floats, prior_pairs: float) -> Floats:
    """Return the likeliest weights, by logistic regression with a normal prior around the weights of now.

    The first weight stays: scores are in its unit. Terms are compared by how much they differ, so that the prior
    holds back each alike.

    Args:
        differences: [pairs, terms], of the chosen reply less those of the rejected one.
        weights: [terms].
        prior_pairs: precision of the prior, for weights of terms that differ by 1. A pair adds a quarter at most, so
            it takes at least four times as many pairs to count as much as the weights of now.
    """
    # Not the standard deviation: a single pair has none, and the chosen reply of a pair is always the first.
    spread = np.maximum(np.sqrt(np.mean(differences**2, axis=0)), 1e-3)
    scaled, start = differences / spread, weights * spread
    free = np.arange(1, len(weights))
    found = start.copy()
    for _ in range(_STEPS):
        chances = 1 / (1 + np.exp(-np.clip(scaled @ found, -50, 50)))
        gradient = scaled[:, free].T @ (1 - chances) - prior_pairs * (found - start)[free]
        curvature = (scaled[:, free].T * (chances * (1 - chances))) @ scaled[:, free]
        found[free] += np.linalg.solve(curvature + prior_pairs * np.eye(len(free)), gradient)
    low, high = np.minimum(weights, -_LARGEST), np.maximum(weights, _LARGEST)
    bounded: Floats = np.clip(found / spread, low, high)
    return bounded
