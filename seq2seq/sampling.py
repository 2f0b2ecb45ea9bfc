"""From logits to the next token: penalties, filters and the draw, in one fixed order.

    bans > repetition, presence and frequency penalties > temperature > top-k > typical-p > top-p > min-p > draw

Every filter renormalises what the one before it left. After top-k, filters see tokens sorted by probability,
likeliest first, so that they are cheap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_BLOCK = 64


def log_softmax(logits: Floats) -> Floats:
    """Return log-probabilities of float32 [rows, vocab]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probs


def penalise_repetition(
    logits: Floats, said: Sequence[Sequence[int]], repetition: float, presence: float, frequency: float
) -> None:
    """Lower, in place, the logits of tokens that a row has said already.

    ``repetition`` divides positive and multiplies negative logits (Keskar et al. 2019, arXiv:1909.05858, section
    4.1); ``presence`` is taken off once, ``frequency`` once for every time the token was said.
    """
    if repetition == 1.0 and presence == 0.0 and frequency == 0.0:
        return
    for row, tokens in enumerate(said):
        if not tokens:
            continue
        unique, counts = np.unique(np.array(tokens), return_counts=True)
        values = logits[row, unique]
        values = np.where(values > 0, values / repetition, values * repetition)
        logits[row, unique] = values - presence - frequency * counts


def top_tokens(logits: Floats, k: int) -> tuple[Ints, Floats]:
    """Return the ``k`` largest logits of each row and their tokens, largest first; ties go to the lower token.

    Exact and in two stages: the k largest stand in the k blocks with the largest maxima.

    Returns:
        int64 and float32 [rows, k].
    """
    rows, vocab = logits.shape
    k = min(k, vocab)
    ids = np.broadcast_to(np.arange(vocab), logits.shape)
    values = logits
    blocks = vocab // _BLOCK
    if vocab % _BLOCK == 0 and 2 * k < blocks:
        maxima = logits.reshape(rows, blocks, _BLOCK).max(axis=2)
        chosen = np.sort(np.argpartition(-maxima, k - 1, axis=1)[:, :k], axis=1)  # [rows, k]
        ids = (chosen[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(rows, k * _BLOCK)
        values = np.take_along_axis(logits, ids, axis=1)
    if k < values.shape[1]:
        threshold = np.partition(values, values.shape[1] - k, axis=1)[:, -k]
        above = (values > threshold[:, None]).sum(axis=1)
        level = values == threshold[:, None]
        level &= level.cumsum(axis=1) <= (k - above)[:, None]  # of those at the threshold the first ones
        keep = (values > threshold[:, None]) | level
        values = values[keep].reshape(rows, k)
        ids = ids[keep].reshape(rows, k)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1)


def keep_typical(probs: Floats, mass: float) -> Floats:
    """Keep the tokens whose surprise is nearest to the entropy, until they hold ``mass``; renormalise.

    Locally typical sampling: Meister et al. 2023, arXiv:2202.00666, section 4.

    Args:
        probs: float32 [rows, k], rows sum to 1.
    """
    if mass >= 1.0:
        return probs
    surprise = -np.log(np.maximum(probs, 1e-20))
    entropy = (probs * surprise).sum(axis=1, keepdims=True)
    order = np.argsort(np.abs(surprise - entropy), axis=1, kind="stable")
    sorted_probs = np.take_along_axis(probs, order, axis=1)
    kept = np.where(sorted_probs.cumsum(axis=1) - sorted_probs < mass, sorted_probs, 0.0)
    result = np.zeros_like(probs)
    np.put_along_axis(result, order, kept.astype(np.float32), axis=1)
    return _renormalise(result)


def keep_nucleus(probs: Floats, top_p: float) -> Floats:
    """Keep the smallest set of likeliest tokens that holds ``top_p``; renormalise.

    Nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751, section 3.1. The likeliest always survives.

    Args:
        probs: float32 [rows, k], rows sum to 1.
    """
    if top_p >= 1.0:
        return probs
    order = np.argsort(-probs, axis=1, kind="stable")
    sorted_probs = np.take_along_axis(probs, order, axis=1)
    kept = np.where(sorted_probs.cumsum(axis=1) - sorted_probs < top_p, sorted_probs, 0.0)
    result = np.zeros_like(probs)
    np.put_along_axis(result, order, kept.astype(np.float32), axis=1)
    return _renormalise(result)


def keep_above_min(probs: Floats, min_p: float) -> Floats:
    """Keep tokens at least ``min_p`` times as likely as the likeliest; renormalise (Nguyen et al. 2024,
    arXiv:2407.01082)."""
    if min_p <= 0.0:
        return probs
    return _renormalise(np.where(probs >= min_p * probs.max(axis=1, keepdims=True), probs, np.float32(0)))


def filtered(logits: Floats, decoding: DecodingConfig) -> tuple[Ints, Floats]:
    """Apply temperature and all filters.

    Args:
        logits: float32 [rows, vocab], bans and penalties already in.

    Returns:
        Tokens int64 [rows, k] and their probabilities float32 [rows, k]; filtered ones have 0.
    """
    tokens, values = top_tokens(logits, decoding.top_k or logits.shape[1])
    tempered = values / np.float32(decoding.temperature)
    probs = _renormalise(np.exp(tempered - tempered[:, :1]))
    probs = keep_typical(probs, decoding.typical_p)
    probs = keep_nucleus(probs, decoding.top_p)
    return tokens, keep_above_min(probs, decoding.min_p)


def draw(tokens: Ints, probs: Floats, uniforms: NDArray[np.float64]) -> Ints:
    """Draw one token a row by inverting the cumulative distribution at ``uniforms`` [rows], each in [0, 1)."""
    cumulative = probs.astype(np.float64).cumsum(axis=1)
    wished = uniforms[:, None] * cumulative[:, -1:]
    places = (cumulative <= wished).sum(axis=1)
    last = probs.shape[1] - 1 - np.argmax(probs[:, ::-1] > 0, axis=1)  # rounding must not pick a filtered token
    places = np.minimum(places, last)
    return np.take_along_axis(tokens, places[:, None], axis=1)[:, 0]


def _renormalise(probs: Floats) -> Floats:
    scaled: Floats = probs / probs.sum(axis=1, keepdims=True)
    return scaled
