"""Learned exchanges and a replay of what the model knew, mixed in every epoch.

Replay against forgetting (Robins 1995, "Catastrophic forgetting, rehearsal and pseudorehearsal"): every epoch shows
all learned exchanges and a fresh draw of the base corpus, in proportion however few were learned.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.dataset import TrainingSet
from seq2seq.style import STYLE_LINES, style_bits
from seq2seq.tokenizer import Tokenizer


@dataclass(frozen=True)
class WeightedExchange:
    """A response, the turns before it (oldest first), and what it counts; negative: to be unlearned."""

    context: tuple[str, ...]
    response: str
    weight: float = 1.0


class MemorySet:
    """Exchanges in this process's memory, as a training set; ``Dataset`` says what the arrays hold.

    Args:
        context_turns: the most turns of each context to keep.
    """

    def __init__(self, exchanges: Sequence[WeightedExchange], tokenizer: Tokenizer, context_turns: int) -> None:
        texts: list[str] = list(STYLE_LINES)
        rows = []
        for exchange in exchanges:
            first = len(texts)
            texts += [*exchange.context[-context_turns:], exchange.response]
            end = len(texts) - 1
            rows.append((first, end, end, end, 0, style_bits(exchange.response)))
        encoded = tokenizer.encode_batch(texts)
        self.tokens = np.array([token for turn in encoded for token in turn], dtype=np.int64)
        self.turns = np.cumsum([0, *(len(turn) for turn in encoded)], dtype=np.int64)
        self.exchanges = np.array(rows, dtype=np.int64).reshape(-1, 6)
        self.row_weights: NDArray[np.float32] | None = np.array([e.weight for e in exchanges], dtype=np.float32)
        self.key = _digest(self.tokens, self.turns, self.exchanges, self.row_weights)

    def __len__(self) -> int:
        return len(self.exchanges)

    def turn(self, number: int) -> list[int]:
        start, end = self.turns[number : number + 2]
        ids: list[int] = self.tokens[start:end].tolist()
        return ids

    def rows_of_epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        return np.arange(len(self))


class MixedSet:
    """Learned exchanges, and a draw of ``base`` anew in each epoch: ``replay_ratio`` tokens for each that is learned.

    By tokens, since they are what time and likelihood are counted in: a chat of short messages would else have most
    of its epoch taken by the long ones of a corpus.

    Turns of the base are numbered behind those that were learned. Its exchanges count 1 each.
    """

    def __init__(self, learned: MemorySet, base: TrainingSet, replay_ratio: float) -> None:
        assert learned.row_weights is not None
        self._learned, self._base = learned, base
        self._n_turns = len(learned.turns) - 1
        tokens = replay_ratio * len(learned) * _mean_tokens(learned)
        self._draws = min(len(base), math.ceil(tokens / _mean_tokens(base)))
        self.turns = np.concatenate((learned.turns, learned.turns[-1] + base.turns[1:]))
        shifted = np.array(base.exchanges)
        shifted[:, :4] += self._n_turns
        self.exchanges = np.concatenate((learned.exchanges, shifted))
        self.row_weights: NDArray[np.float32] | None = np.concatenate(
            (learned.row_weights, np.ones(len(base), np.float32))
        )
        self.key = f"{learned.key}+{replay_ratio}x{base.key}"

    def __len__(self) -> int:
        return len(self.exchanges)

    def turn(self, number: int) -> list[int]:
        """Return the token ids of one turn."""
        known = number < self._n_turns
        return self._learned.turn(number) if known else self._base.turn(number - self._n_turns)

    def rows_of_epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return all learned exchanges, and the draws of this epoch."""
        drawn = generator.choice(len(self._base), self._draws, replace=False)
        return np.concatenate((np.arange(len(self._learned)), len(self._learned) + drawn))


def _mean_tokens(exchanges: TrainingSet) -> float:
    """Return the tokens of an exchange in the mean, context and response."""
    first, response = exchanges.exchanges[:, 0], exchanges.exchanges[:, 1]
    return float((exchanges.turns[response + 1] - exchanges.turns[first]).mean())


def _digest(*arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]
