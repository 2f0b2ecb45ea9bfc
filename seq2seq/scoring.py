"""Score many given targets over one source, which is encoded once: for ranking given responses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.sampling import log_normalisers
from seq2seq.search import Floats, Hypothesis, NextRows


class ManyScoring:
    """Say given targets, a row each, and sum their log-probabilities; a row leaves when its target is said."""

    def __init__(self, targets: Sequence[Sequence[int]]) -> None:
        self.rows = len(targets)
        self.targets = [list(target) for target in targets]
        self.log_probs = [0.0] * len(targets)
        self._alive = list(range(len(targets)))
        self._place = 0

    @property
    def means(self) -> list[float]:
        """Return the mean log-probability of each target's tokens."""
        return [total / len(target) for total, target in zip(self.log_probs, self.targets, strict=True)]

    def advance(self, logits: Floats) -> NextRows:
        log_sums = log_normalisers(logits)
        parents, tokens = [], []
        for row, number in enumerate(self._alive):
            token = self.targets[number][self._place]
            self.log_probs[number] += float(logits[row, token] - log_sums[row])
            if self._place + 1 < len(self.targets[number]):
                parents.append(row)
                tokens.append(token)
        self._alive = [self._alive[row] for row in parents]
        self._place += 1
        self.rows = len(parents)
        return NextRows(np.array(parents, dtype=np.int64), np.array(tokens, dtype=np.int64))

    def hypotheses(self) -> list[Hypothesis]:
        return [
            Hypothesis(tuple(target), total, mean, is_complete=True)
            for target, total, mean in zip(self.targets, self.log_probs, self.means, strict=True)
        ]
