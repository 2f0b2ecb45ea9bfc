"""Which candidate reply is said: what speaks for and against it, weighed together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seq2seq.config import DecodingConfig

_RARE = math.log(1e-7)  # of whole replies: from here on they are no commonplace
SIGNS = {"forward": 1, "reverse": 1, "repetition": -1, "blandness": -1, "commonness": -1, "length": 1}


@dataclass(frozen=True)
class RankTerms:
    """What speaks for and against a candidate; ``score`` is their weighted sum, ``SIGNS`` says which speak for it.

    Attributes:
        forward: mean log-probability of the reply's tokens, given the context.
        reverse: mean log-probability of the last turn's tokens, given the reply (Li et al. 2016,
            arXiv:1510.03055, MMI-bidi): a reply that would fit anything makes no turn likely.
        repetition: share of the reply, in [0, 1], that was said before: in itself, or in the dialogue.
        blandness: mean log-probability of the reply's tokens when nothing was said before: what could be said
            anywhere (Li et al. 2016, MMI-antiLM).
        commonness: how far the log-probability of the whole reply, when nothing was said before, is above that of one
            in ten million; 0 below. The mean of a long reply may be as high, but only short ones come back.
        length: natural log of the number of tokens, end mark included. Means favour the shortest replies (the same
            paper adds a multiple of the length to its sums).
    """

    forward: float
    reverse: float
    repetition: float
    blandness: float
    commonness: float
    length: float

    @classmethod
    def of(
        cls,
        token_ids: Sequence[int],
        context: Sequence[Sequence[int]],
        *,
        forward: float,
        reverse: float,
        unprompted: float,
    ) -> RankTerms:
        """Put the terms of a reply together.

        Args:
            token_ids: the reply's tokens, without the end mark.
            context: the tokens of each turn before it.
            forward, reverse: as above.
            unprompted: log-probability of the whole reply when nothing was said before, end mark included.
        """
        tokens = len(token_ids) + 1
        return cls(
            forward=forward,
            reverse=reverse,
            repetition=repetition(token_ids, context),
            blandness=unprompted / tokens,
            commonness=max(0.0, unprompted - _RARE),
            length=math.log(tokens),
        )

    def score(self, decoding: DecodingConfig) -> float:
        return sum(weight * float(getattr(self, term)) for term, weight in term_weights(decoding).items())


def term_weights(decoding: DecodingConfig) -> dict[str, float]:
    """Return what each term adds to the score for each unit, in the order of ``RankTerms``."""
    return {
        term: sign * float(getattr(decoding, f"{term}_weight", 1.0))  # the others are in the unit of the forward term
        for term, sign in SIGNS.items()
    }


def weight_settings(weights: Iterable[float]) -> dict[str, float]:
    """Return the settings that give these ``term_weights``; the first, that of the forward term, is always 1."""
    signed = zip(SIGNS.items(), weights, strict=True)
    return {f"{term}_weight": sign * weight for (term, sign), weight in signed if term != "forward"}


def repetition(tokens: Sequence[int], context: Sequence[Sequence[int]]) -> float:
    """Return the larger of two shares: of bigrams that repeat within the reply, and that the context holds."""
    pairs = list(pairwise(tokens))
    if not pairs:
        return float(any(list(turn) == list(tokens) for turn in context))
    heard = {pair for turn in context for pair in pairwise(turn)}
    within = 1 - len(set(pairs)) / len(pairs)
    return max(within, sum(pair in heard for pair in pairs) / len(pairs))
