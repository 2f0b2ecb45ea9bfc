"""Which candidate reply is said: forward, reverse, repetition, blandness and length, weighed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from seq2seq.config import DecodingConfig


@dataclass(frozen=True)
class RankTerms:
    """What speaks for and against a candidate; ``score`` is their weighted sum.

    Attributes:
        forward: mean log-probability of the reply's tokens, given the context.
        reverse: mean log-probability of the last turn's tokens, given the reply (Li et al. 2016,
            arXiv:1510.03055, MMI-bidi): a reply that would fit anything makes no turn likely.
        repetition: share of the reply, in [0, 1], that was said before: in itself, or in the dialogue.
        blandness: mean log-probability of the reply's tokens when nothing was said before: what could be said
            anywhere (Li et al. 2016, MMI-antiLM).
        length: natural log of the number of tokens, end mark included. Means favour the shortest replies (the same
            paper adds a multiple of the length to its sums).
    """

    forward: float
    reverse: float
    repetition: float
    blandness: float
    length: float

    def score(self, decoding: DecodingConfig) -> float:
        return (
            self.forward
            + decoding.reverse_weight * self.reverse
            - decoding.repetition_weight * self.repetition
            - decoding.blandness_weight * self.blandness
            + decoding.length_weight * self.length
        )


def repetition(tokens: Sequence[int], context: Sequence[Sequence[int]]) -> float:
    """Return the larger of two shares: of bigrams that repeat within the reply, and that the context holds."""
    pairs = list(pairwise(tokens))
    if not pairs:
        return float(any(list(turn) == list(tokens) for turn in context))
    heard = {pair for turn in context for pair in pairwise(turn)}
    within = 1 - len(set(pairs)) / len(pairs)
    return max(within, sum(pair in heard for pair in pairs) / len(pairs))
