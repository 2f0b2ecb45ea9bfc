"""Replies to a sample of a corpus's exchanges, and what they measure beside the humans' replies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from seq2seq.config import DecodingConfig
from seq2seq.evaluation.likelihood import OnProgress, TestExchange, TestSet
from seq2seq.evaluation.metrics import TextMeasures, corpus_bleu, corpus_chrf, unigram_f1, words
from seq2seq.persona import Persona
from seq2seq.predictor import Candidate, Predictor

_CHUNK = 32  # contexts replied to in one call


@dataclass(frozen=True)
class ReplySample:
    """Replies of a model on some exchanges of a corpus.

    Attributes:
        exchanges: what was replied to; ``responses`` are the humans' own replies.
        replies: text, white space folded; empty where every candidate was refused.
        tokens: length of each reply in the model's tokens, without the end mark.
        latency_ms: of the replies that were made one at a time.
    """

    exchanges: tuple[TestExchange, ...]
    replies: tuple[str, ...]
    tokens: tuple[int, ...]
    latency_ms: tuple[float, ...]

    @property
    def responses(self) -> list[str]:
        return [exchange.response for exchange in self.exchanges]

    @property
    def last_turns(self) -> list[str]:
        return [exchange.context[-1] for exchange in self.exchanges]

    @cached_property
    def measures(self) -> TextMeasures:
        return TextMeasures.of(self.replies, self.last_turns)

    @cached_property
    def human(self) -> TextMeasures:
        return TextMeasures.of(self.responses, self.last_turns)

    @cached_property
    def f1s(self) -> list[float]:
        return list(map(unigram_f1, self.replies, self.responses))

    @property
    def f1(self) -> float:
        return sum(self.f1s) / len(self.f1s)

    @cached_property
    def bleu(self) -> float:
        return corpus_bleu(self.replies, self.responses)

    @cached_property
    def chrf(self) -> float:
        return corpus_chrf(self.replies, self.responses)

    @property
    def length_ratio(self) -> float:
        """Return how many words the model says for each of people's."""
        return self.measures.mean_words / self.human.mean_words if self.human.mean_words else 0.0

    @property
    def length_distance(self) -> float:
        """Return by how many words the model's lengths miss people's, longest against longest and so on down
        (1-Wasserstein distance)."""
        said, wanted = (sorted(len(words(text)) for text in texts) for texts in (self.replies, self.responses))
        return sum(abs(one - other) for one, other in zip(said, wanted, strict=True)) / len(said)

    @property
    def mean_reply_tokens(self) -> float:
        return sum(self.tokens) / len(self.tokens)

    @property
    def latency_ms_p50(self) -> float:
        return float(np.median(self.latency_ms))


def reply_to_sample(
    predictor: Predictor,
    tests: TestSet,
    decoding: DecodingConfig,
    count: int,
    timed: int,
    seed: int,
    on_progress: OnProgress,
) -> ReplySample:
    """Reply to ``count`` exchanges, evenly spaced; the first ``timed`` of them one at a time.

    The seed of a reply is ``seed`` plus the place of its exchange in the corpus, so that it stays the same
    whatever else is replied to.
    """
    places = tests.sample(count)
    chosen = [tests.exchanges[place] for place in places]
    seeds = [seed + place for place in places]
    timed = min(timed, len(chosen))
    predict(predictor, chosen[:1], decoding, seeds[:1])  # the first call of all warms up
    found: list[Candidate | None] = []
    latency_ms = []
    for number in range(timed):
        on_progress("replies one at a time", number, timed)
        start = time.perf_counter()
        found += predict(predictor, chosen[number : number + 1], decoding, seeds[number : number + 1])
        latency_ms.append(1000 * (time.perf_counter() - start))
    for number in range(timed, len(chosen), _CHUNK):
        on_progress("replies", number, len(chosen))
        part = slice(number, number + _CHUNK)
        found += predict(predictor, chosen[part], decoding, seeds[part])
    on_progress("replies", len(chosen), len(chosen))
    return ReplySample(
        tuple(chosen),
        tuple(candidate.text if candidate else "" for candidate in found),
        tuple(len(candidate.token_ids) if candidate else 0 for candidate in found),
        tuple(latency_ms),
    )


def predict(
    predictor: Predictor, chosen: Sequence[TestExchange], decoding: DecodingConfig, seeds: Sequence[int]
) -> list[Candidate | None]:
    """Return the reply to each exchange, with its persona lines; None where every candidate was refused."""
    found = predict_candidates(predictor, chosen, decoding, seeds)
    return [candidates[0] if candidates else None for candidates in found]


def predict_candidates(
    predictor: Predictor, chosen: Sequence[TestExchange], decoding: DecodingConfig, seeds: Sequence[int]
) -> list[list[Candidate]]:
    """Return all candidates for each exchange, best first."""
    found: list[list[Candidate]] = []
    for persona, group in groupby(zip(chosen, seeds, strict=True), key=lambda pair: pair[0].persona):
        pairs = list(group)
        contexts = [exchange.context for exchange, _ in pairs]
        found += predictor.predict(contexts, decoding, [seed for _, seed in pairs], Persona(lines=persona))
    return found
