"""Fit the weights of ``rank``: ``python -m tests.benchmarks.rank_weights MODEL CORPUS...``.

Each of some hundred contexts gets its own response and 19 others; a conditional logit (McFadden 1974) over the terms
of ``rank`` says how much each should count to find the own one. Prints the weights, with that of the forward term set
to 1, and hits@1/20 by them, by the weights the model has, and by single terms.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.corpus import DialogueExchange, exchanges, open_corpus
from seq2seq.predictor import Predictor
from seq2seq.ranking import SIGNS, term_weights
from seq2seq.registry import Registry

_OTHERS = 19
_CHUNK = 50
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--contexts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    predictor = Predictor.load(Registry(Path("models")).resolve(asked.model))
    for name in asked.corpora:
        terms = _terms(predictor, name, asked.contexts, np.random.default_rng(asked.seed))
        decoding = predictor.decoding
        has = np.array(list(term_weights(decoding).values()))
        fitted = fit(terms)
        figures = {
            "corpus": name,
            "contexts": len(terms),
            "fitted": dict(zip(SIGNS, (fitted / fitted[0]).round(3).tolist(), strict=True)),
            "hits_fitted": hits(terms, fitted),
            "hits_by_the_model": hits(terms, has),
            "hits_forward": hits(terms[:, :, :1], np.ones(1)),
            "hits_reverse": hits(terms[:, :, 1:2], np.ones(1)),
        }
        print(json.dumps(figures))


def fit(terms: Floats, steps: int = 3000, rate: float = 0.05, decay: float = 1e-3) -> Floats:
    """Return the weights that make the first of each row's candidates likeliest: [terms].

    Args:
        terms: [contexts, candidates, terms].
    """
    spread = terms.reshape(-1, terms.shape[-1]).std(axis=0)
    scaled = terms / np.maximum(spread, 1e-9)
    weights = np.zeros(terms.shape[-1])
    for _ in range(steps):
        scores = scaled @ weights
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        gradient = (scaled[:, 0] - (chances[:, :, None] * scaled).sum(axis=1)).mean(axis=0)
        weights += rate * (gradient - decay * weights)
    return weights / np.maximum(spread, 1e-9)


def hits(terms: Floats, weights: Floats) -> float:
    """Return the share of contexts whose own response scores highest."""
    scores = terms @ weights
    return round(float((scores[:, 0] > scores[:, 1:].max(axis=1)).mean()), 4)


def _terms(predictor: Predictor, corpus: str, count: int, generator: np.random.Generator) -> Floats:
    """Return [contexts, 1 + others, terms], the own response first."""
    found = [
        exchange
        for dialogue in open_corpus(corpus)
        for exchange in exchanges(dialogue, predictor.config.context_turns)
        if 2 <= len(exchange.response.split()) <= 30
    ]
    chosen = [found[place] for place in generator.choice(len(found), min(count, len(found)), replace=False)]
    rows = []
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        candidates = [[exchange.response, *_others(exchange, chosen, generator)] for exchange in part]
        judged = predictor.judge([exchange.context for exchange in part], candidates)
        rows += [[astuple(terms) for terms in row] for row in judged]
    return np.array(rows)


def _others(exchange: DialogueExchange, chosen: list[DialogueExchange], generator: np.random.Generator) -> list[str]:
    responses = sorted({other.response for other in chosen} - {exchange.response})
    return [responses[place] for place in generator.choice(len(responses), _OTHERS, replace=False)]


if __name__ == "__main__":
    main()
