"""Models, or ways of replying, on the same exchanges: each difference with a 95 % interval.

What stands for each exchange by itself is resampled (Efron 1979); whole dialogues are drawn, since the exchanges
of one dialogue are alike. Variety cannot be: an exchange drawn twice would count as a repetition. Its interval
comes from random halves of the sample, each without an exchange twice: their spread is that of the whole sample
(delete-half jackknife, Shao & Wu 1989).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seq2seq.corpus import Corpus
from seq2seq.evaluation.evaluate import CorpusEvaluation, EvaluationConfig, Subject, evaluate_model
from seq2seq.evaluation.judges import Judges, Verdict
from seq2seq.evaluation.likelihood import OnProgress, TestExchange, evenly_spaced
from seq2seq.evaluation.metrics import commonest_share, distinct, has_loop, parroting, repeated_share

_RESAMPLES = 1000
_HALVES = 200
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Difference:
    """A measure of two models. ``low`` and ``high`` bound ``difference`` (second less first) with 95 %."""

    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Return whether the interval leaves 0 out."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Comparison:
    """Another model, or another way of replying, and how it differs from the first, by measure."""

    second: CorpusEvaluation
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Result:
    """One corpus: the evaluation of a model, and how others compare with it."""

    first: CorpusEvaluation
    comparisons: Sequence[Comparison] = ()


def evaluate_all(
    first: Subject,
    others: Sequence[Subject],
    corpus: Corpus,
    config: EvaluationConfig,
    on_progress: OnProgress,
    judges: Judges | None = None,
) -> Result:
    """Measure a model on a corpus, and others on the same exchanges."""
    one = evaluate_model(first, corpus, config, on_progress, judges=judges)
    comparisons = []
    for subject in others:
        same_model = one if subject.predictor.model_id == first.predictor.model_id else None
        other = evaluate_model(subject, corpus, config, on_progress, same_model, judges)
        comparisons.append(Comparison(other, compare(one, other, config.seed)))
    return Result(one, comparisons)


def compare(first: CorpusEvaluation, second: CorpusEvaluation, seed: int = 0) -> dict[str, Difference]:
    """Compare two evaluations of one corpus, made with the same settings.

    Two ways of one model to reply differ in replies alone; what they have in common is left out.

    Raises:
        ValueError: they are not of the same exchanges.
    """
    pairs = (first.tests.exchanges, second.tests.exchanges), (first.sample.exchanges, second.sample.exchanges)
    if any(_asked(one) != _asked(other) for one, other in pairs):
        raise ValueError("only evaluations of the same exchanges can be compared")
    all_dialogues = [exchange.dialogue for exchange in first.tests.exchanges]
    sampled = [exchange.dialogue for exchange in first.sample.exchanges]
    found = {"f1": compare_ratios(first.sample.f1s, second.sample.f1s, sampled, seed)}
    if first.model != second.model:
        bits = first.likelihood.nll / np.log(2), second.likelihood.nll / np.log(2)
        found["bits_per_byte"] = compare_ratios(*bits, all_dialogues, seed, weights=first.likelihood.bytes)
        if first.relevance is not None and second.relevance is not None:
            places = evenly_spaced(len(all_dialogues), first.relevance.contexts)
            groups = [all_dialogues[place] for place in places]
            found["hits"] = compare_ratios(first.relevance.combined, second.relevance.combined, groups, seed)
    if first.reply_relevance is not None and second.reply_relevance is not None:
        groups = [sampled[place] for place in evenly_spaced(len(sampled), first.reply_relevance.contexts)]
        hits = first.reply_relevance.combined, second.reply_relevance.combined
        found["reply_hits"] = compare_ratios(*hits, groups, seed)
    if first.verdict is not None and second.verdict is not None:
        found |= _compare_verdicts(first.verdict, second.verdict, sampled, seed)
    one, other, last_turns = first.sample.replies, second.sample.replies, first.sample.last_turns
    found["loop_share"] = compare_ratios(list(map(has_loop, one)), list(map(has_loop, other)), sampled, seed)
    copied = list(map(parroting, one, last_turns)), list(map(parroting, other, last_turns))
    found["parroting"] = compare_ratios(*copied, sampled, seed)
    sets: tuple[tuple[str, Callable[[Sequence[str]], float]], ...] = (
        ("distinct_1", lambda texts: distinct(texts, 1)),
        ("distinct_2", lambda texts: distinct(texts, 2)),
        ("repeated_reply_share", repeated_share),
        ("commonest_share", commonest_share),
    )
    found |= {name: compare_sets(one, other, measure, seed) for name, measure in sets}
    return found


def _asked(exchanges: Sequence[TestExchange]) -> list[tuple[int, int, str]]:
    """Return what makes exchanges the same, however much context each model is shown."""
    return [(exchange.dialogue, exchange.depth, exchange.response) for exchange in exchanges]


def _compare_verdicts(first: Verdict, second: Verdict, sampled: Sequence[int], seed: int) -> dict[str, Difference]:
    found = {}
    if first.grammatical:
        found["grammatical"] = compare_ratios(first.grammatical, second.grammatical, sampled, seed)
    if first.nearest:
        groups = [sampled[place] for place in evenly_spaced(len(sampled), len(first.nearest))]
        found["nearest"] = compare_ratios(first.nearest, second.nearest, groups, seed)
        found["passed"] = compare_ratios(first.passed, second.passed, groups, seed)
    return found


def compare_ratios(
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[int],
    seed: int,
    weights: ArrayLike | None = None,
) -> Difference:
    """Compare the means of two lists by the bootstrap.

    Args:
        groups: what each entry belongs to; whole groups are drawn.
        weights: sums are divided by the sum of these, not by the number of entries.
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = [_group_sums(values, numbers) for values in (first, second)]
    divisor = _group_sums(np.ones(len(numbers)) if weights is None else weights, numbers)
    count = len(divisor)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    resampled = (draws @ (sums[1] - sums[0])) / (draws @ divisor)
    low, high = np.percentile(resampled, _TAILS)
    one, other = (float(part.sum() / divisor.sum()) for part in sums)
    return Difference(one, other, float(low), float(high))


def compare_sets(
    first: Sequence[str], second: Sequence[str], measure: Callable[[Sequence[str]], float], seed: int
) -> Difference:
    """Compare a measure of whole lists of texts; ``first[i]`` and ``second[i]`` answer the same context."""
    whole = [measure(texts) for texts in (first, second)]
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(_HALVES):
        half = generator.permutation(len(first))[: len(first) // 2]
        one, other = (measure([texts[place] for place in half]) for texts in (first, second))
        differences.append(other - one)
    difference, margin = whole[1] - whole[0], 1.96 * float(np.std(differences))
    return Difference(whole[0], whole[1], difference - margin, difference + margin)


def _group_sums(values: ArrayLike, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.bincount(numbers, weights=np.asarray(values, dtype=np.float64)).astype(np.float64)
