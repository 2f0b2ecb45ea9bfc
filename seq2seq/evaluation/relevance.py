"""Does the model know which reply belongs to a context? hits@1 among 20 candidates, by each of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig
from seq2seq.evaluation.generation import ReplySample
from seq2seq.evaluation.likelihood import OnProgress, TestExchange, TestSet, evenly_spaced
from seq2seq.evaluation.metrics import words
from seq2seq.predictor import Predictor

CANDIDATES = 20
_CHUNK = 50  # contexts judged in one call


@dataclass(frozen=True)
class Relevance:
    """Whether the own response won, bool [contexts] each: by forward score, by reverse, and by rank's sum of all."""

    forward: NDArray[np.bool_]
    reverse: NDArray[np.bool_]
    combined: NDArray[np.bool_]

    @property
    def contexts(self) -> int:
        return len(self.combined)

    def hits(self) -> dict[str, float]:
        """Return hits@1/20 by each score; chance is 0.05."""
        return {name: float(values.mean()) for name, values in vars(self).items()}


def measure_relevance(
    predictor: Predictor,
    tests: TestSet,
    decoding: DecodingConfig,
    count: int,
    seed: int,
    on_progress: OnProgress,
) -> Relevance | None:
    """Rank the own response of ``count`` contexts among 19 others drawn from the same contexts' responses.

    None where the sample holds fewer than 20 different responses.
    """
    chosen = [tests.exchanges[place] for place in tests.sample(count)]
    candidates = draw_candidates(chosen, seed)
    if candidates is None:
        return None
    return _rank(predictor, chosen, candidates, decoding, on_progress, "relevance")


def measure_reply_relevance(
    predictor: Predictor,
    sample: ReplySample,
    decoding: DecodingConfig,
    count: int,
    seed: int,
    on_progress: OnProgress,
) -> Relevance | None:
    """Rank the model's own reply to ``count`` contexts among its replies to 19 others: does it fit only here?

    The model judges itself. A reply that it gives to another of the contexts too ties, and so misses. None where
    fewer than 20 replies were made.
    """
    places = evenly_spaced(len(sample.replies), count)
    if len(places) < CANDIDATES:
        return None
    generator = np.random.default_rng(seed)
    candidates = []
    for place in places:
        others = [other for other in generator.permutation(places)[:CANDIDATES].tolist() if other != place]
        candidates.append([sample.replies[number] for number in (place, *others[: CANDIDATES - 1])])
    chosen = [sample.exchanges[place] for place in places]
    return _rank(predictor, chosen, candidates, decoding, on_progress, "relevance of replies")


def draw_candidates(chosen: Sequence[TestExchange], seed: int) -> list[list[str]] | None:
    """Return the candidates of each exchange, its own response first; none repeats another but for case and signs."""
    pool = {_key(exchange.response): exchange.response for exchange in chosen}
    if len(pool) < CANDIDATES:
        return None
    keys = sorted(pool)
    generator = np.random.default_rng(seed)
    drawn = []
    for exchange in chosen:
        own = _key(exchange.response)
        others = [key for key in (keys[n] for n in generator.permutation(len(keys))) if key != own]
        drawn.append([exchange.response, *(pool[key] for key in others[: CANDIDATES - 1])])
    return drawn


def _rank(
    predictor: Predictor,
    chosen: Sequence[TestExchange],
    candidates: Sequence[Sequence[str]],
    decoding: DecodingConfig,
    on_progress: OnProgress,
    what: str,
) -> Relevance:
    """Tell where the first candidate beats all others. A tie is a miss."""
    rows: list[list[tuple[float, float, float]]] = []
    for start in range(0, len(chosen), _CHUNK):
        on_progress(what, start, len(chosen))
        part = slice(start, start + _CHUNK)
        judged = predictor.judge(
            [exchange.context for exchange in chosen[part]],
            candidates[part],
            [exchange.persona for exchange in chosen[part]],
        )
        rows += [[(terms.forward, terms.reverse, terms.score(decoding)) for terms in row] for row in judged]
    on_progress(what, len(chosen), len(chosen))
    scores = np.array(rows)  # [contexts, candidates, 3], the own response first
    won = scores[:, 0] > scores[:, 1:].max(axis=1)
    return Relevance(won[:, 0], won[:, 1], won[:, 2])


def _key(text: str) -> str:
    return " ".join(words(text)) or text
