"""Why a reply: how likely each of its tokens was, what else could have stood there, and where the model looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.predictor import Predictor
from seq2seq.sampling import log_normalisers, top_tokens
from seq2seq.tokenizer import SPECIAL_TOKENS, START, target_ids

_ALTERNATIVES = 3


@dataclass(frozen=True)
class TokenExplanation:
    """One token of a reply.

    Attributes:
        text: as it is spelt; the end mark is ``</s>``.
        prob: the model's probability before any filter, in [0, 1].
        alternatives: the likeliest tokens at this place and their probabilities, likeliest first.
        attention: share of the attention on each source token; sums to 1.
    """

    text: str
    prob: float
    alternatives: tuple[tuple[str, float], ...]
    attention: tuple[float, ...]


@dataclass(frozen=True)
class Explanation:
    """A reply token by token. ``source`` is what the model read, a string a token."""

    source: tuple[str, ...]
    tokens: tuple[TokenExplanation, ...]


def explain(
    predictor: Predictor, context: Sequence[str], token_ids: Sequence[int], persona: Sequence[str] = ()
) -> Explanation:
    """Go through a reply by teacher forcing.

    Args:
        context: turns, oldest first, as they were when the reply was made.
        token_ids: the reply's tokens, without the end mark.
    """
    runtime, source = predictor.runtime, predictor.source(context, persona)
    memory, state = runtime.encode(source)
    explained = []
    before = START
    for token in target_ids(token_ids):
        reads = np.array([before])
        attention, _ = runtime.attention(reads, state, memory)
        logits, state = runtime.step(reads, state, memory)
        log_probs = logits - log_normalisers(logits)[:, None]
        likeliest, values = top_tokens(log_probs, _ALTERNATIVES)
        explained.append(
            TokenExplanation(
                text=_spelling(predictor, token),
                prob=float(np.exp(log_probs[0, token])),
                alternatives=tuple(
                    (_spelling(predictor, int(other)), float(np.exp(value)))
                    for other, value in zip(likeliest[0], values[0], strict=True)
                ),
                attention=tuple(float(weight) for weight in attention[0, : len(source)]),
            )
        )
        before = token
    return Explanation(tuple(_spelling(predictor, token) for token in source), tuple(explained))


def _spelling(predictor: Predictor, token: int) -> str:
    """Return one token's text; a blank in front tells that a word begins."""
    return SPECIAL_TOKENS[token] if token < len(SPECIAL_TOKENS) else predictor.tokenizer.spelling(token)
