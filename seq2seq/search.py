"""Ways to find a reply: greedy, sampling, beam search, and scoring a given one.

Each is a program over rows: it is given the logits of its rows and answers which rows go on and with which
tokens. ``scheduler.py`` runs many programs in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig
from seq2seq.sampling import draw, filtered, log_softmax, penalise_repetition, top_tokens
from seq2seq.tokenizer import END, SPECIAL_TOKENS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
NEVER_SAID = np.array([i for i in range(len(SPECIAL_TOKENS)) if i != END])
NO_ROWS = np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Hypothesis:
    """A reply in tokens.

    Attributes:
        token_ids: without the end mark.
        log_prob: natural log of its probability, end mark included where it was reached.
        score: what the search ranks by.
        is_complete: whether it ended by itself, not at ``max_tokens``.
    """

    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    is_complete: bool


class NextRows(NamedTuple):
    """The rows that go on: which of the rows before each continues (parents), and the token it says."""

    parents: Ints
    tokens: Ints


class Program(Protocol):
    """A search in progress. It begins with ``rows`` rows that all read the start mark."""

    rows: int

    def advance(self, logits: Floats) -> NextRows:
        """Take float32 [rows, vocab] for the current rows; no rows in the answer means it is finished."""

    def hypotheses(self) -> list[Hypothesis]:
        """Return what was found, best first."""


@dataclass
class Bans:
    """Tokens that a row may not say next.

    Attributes:
        no_repeat_ngram: n-grams said in the reply are not said again; 0 is off.
        context: what follows each (n-1)-gram of the context, where its n-grams are blocked too.
        phrases: token sequences that may never be completed.
    """

    no_repeat_ngram: int = 0
    context_ngram: int = 0
    context: Mapping[tuple[int, ...], set[int]] = field(default_factory=dict)
    phrases: Sequence[tuple[int, ...]] = ()

    @classmethod
    def of(
        cls, decoding: DecodingConfig, context: Iterable[Sequence[int]], phrases: Sequence[tuple[int, ...]]
    ) -> Bans:
        return cls(
            decoding.no_repeat_ngram,
            decoding.no_repeat_context_ngram,
            _followers(context, decoding.no_repeat_context_ngram),
            phrases,
        )

    def apply(self, logits: Floats, said: Sequence[Sequence[int]], min_tokens: int) -> None:
        """Put the banned tokens of each row to ``-inf``, in place."""
        logits[:, NEVER_SAID] = -np.inf
        for row, tokens in enumerate(said):
            if len(tokens) < min_tokens:
                logits[row, END] = -np.inf
            for token in self._of_row(tokens):
                logits[row, token] = -np.inf

    def _of_row(self, tokens: Sequence[int]) -> set[int]:
        banned: set[int] = set()
        n = self.no_repeat_ngram
        if n and len(tokens) >= n:
            banned |= _followers([tokens], n).get(tuple(tokens[len(tokens) - n + 1 :]), set())
        if self.context:
            start = len(tokens) - self.context_ngram + 1
            if start >= 0:
                banned |= self.context.get(tuple(tokens[start:]), set())
        for phrase in self.phrases:
            if tuple(tokens[len(tokens) - len(phrase) + 1 :]) == phrase[:-1]:
                banned.add(phrase[-1])
        return banned


class Sampling:
    """Draw ``count`` replies side by side, each with its own random generator; or the greedy one.

    Candidate number n of a seed is the same whatever their count: its generator is seeded by (seed, n).
    """

    def __init__(
        self,
        decoding: DecodingConfig,
        bans: Bans,
        *,
        count: int = 1,
        seed: int = 0,
        greedy: bool = False,
        is_stopped: Callable[[Sequence[int]], bool] | None = None,
    ) -> None:
        self.rows = count
        self._decoding, self._bans, self._greedy, self._is_stopped = decoding, bans, greedy, is_stopped
        uniforms = [np.random.default_rng([seed, number]).random(decoding.max_tokens + 1) for number in range(count)]
        self._uniforms = np.array(uniforms)  # [candidates, steps]
        self._alive = list(range(count))
        self.said: list[list[int]] = [[] for _ in range(count)]
        self._log_probs = [0.0] * count
        self._complete = [False] * count

    def advance(self, logits: Floats) -> NextRows:
        log_probs = log_softmax(logits)
        said = [self.said[number] for number in self._alive]
        self._bans.apply(logits, said, self._decoding.min_tokens)
        chosen = self._choose(logits, said)
        parents = []
        for row, number in enumerate(self._alive):
            token = int(chosen[row])
            self._log_probs[number] += float(log_probs[row, token])
            if token == END:
                self._complete[number] = True
                continue
            self.said[number].append(token)
            if self._is_stopped is not None and self._is_stopped(self.said[number]):
                self._complete[number] = True
            elif len(self.said[number]) < self._decoding.max_tokens:
                parents.append(row)
        self._alive = [self._alive[row] for row in parents]
        self.rows = len(parents)
        kept = np.array(parents, dtype=np.int64)
        return NextRows(kept, chosen[kept])

    def hypotheses(self) -> list[Hypothesis]:
        found = [
            Hypothesis(tuple(said), log_prob, log_prob / (len(said) + complete or 1), complete)
            for said, log_prob, complete in zip(self.said, self._log_probs, self._complete, strict=True)
        ]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def _choose(self, logits: Floats, said: Sequence[Sequence[int]]) -> Ints:
        decoding = self._decoding
        penalise_repetition(
            logits, said, decoding.repetition_penalty, decoding.presence_penalty, decoding.frequency_penalty
        )
        if self._greedy:
            return np.asarray(logits.argmax(axis=1))
        tokens, probs = filtered(logits, decoding)
        return draw(tokens, probs, self._uniforms[self._alive, len(said[0])])


class BeamSearch:
    """Keep the ``beam_size`` best prefixes; score finished ones by log-probability over a length penalty.

    The penalty is ((5 + length) / 6) ** alpha (Wu et al. 2016, arXiv:1609.08144, section 7). With ``beam_groups``
    the beam is split, and a group pays ``diversity_penalty`` for each earlier group that chose the same token at
    this step (Vijayakumar et al. 2018, arXiv:1610.02424, section 3).
    """

    def __init__(self, decoding: DecodingConfig, bans: Bans) -> None:
        self.rows = 1
        self._decoding, self._bans = decoding, bans
        self._width = decoding.beam_size // decoding.beam_groups
        # A group's prefixes: (row of the last step, tokens, log-probability). At first all share the one row.
        self._groups: list[list[tuple[int, tuple[int, ...], float]]] = [
            [(0, (), 0.0)] for _ in range(decoding.beam_groups)
        ]
        self._finished: list[list[Hypothesis]] = [[] for _ in range(decoding.beam_groups)]

    def advance(self, logits: Floats) -> NextRows:
        log_probs = log_softmax(logits)
        said: list[tuple[int, ...]] = [()] * len(logits)
        for group in self._groups:
            for row, tokens, _ in group:
                said[row] = tokens
        self._bans.apply(log_probs, said, self._decoding.min_tokens)
        penalty = np.zeros(log_probs.shape[1], np.float32)
        parents: list[int] = []
        words: list[int] = []
        for number, group in enumerate(self._groups):
            kept = self._extend(number, group, log_probs, penalty)
            self._groups[number] = []
            for row, tokens, log_prob in kept:
                self._groups[number].append((len(parents), tokens, log_prob))
                parents.append(row)
                words.append(tokens[-1])
                penalty[tokens[-1]] += self._decoding.diversity_penalty
        self.rows = len(parents)
        return NextRows(np.array(parents, dtype=np.int64), np.array(words, dtype=np.int64))

    def hypotheses(self) -> list[Hypothesis]:
        found = [hypothesis for group in self._finished for hypothesis in group]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def _extend(
        self,
        number: int,
        group: list[tuple[int, tuple[int, ...], float]],
        log_probs: Floats,
        penalty: Floats,
    ) -> list[tuple[int, tuple[int, ...], float]]:
        """Return the group's prefixes after this step; the finished ones go to its pool."""
        if not group:
            return []
        rows = np.array([row for row, _, _ in group])
        before = np.array([log_prob for _, _, log_prob in group])
        tokens, values = top_tokens(log_probs[rows] - penalty, 2 * self._width)
        totals = before[:, None] + values
        kept: list[tuple[int, tuple[int, ...], float]] = []
        for place in np.argsort(-totals, axis=None, kind="stable"):
            member, rank = divmod(int(place), totals.shape[1])
            if not np.isfinite(totals[member, rank]) or len(kept) == self._width:
                break
            row, said, log_prob = group[member]
            token = int(tokens[member, rank])
            total = log_prob + float(log_probs[row, token])
            if token == END:
                self._finish(number, said, total, is_complete=True)
            elif len(said) + 1 == self._decoding.max_tokens:
                self._finish(number, (*said, token), total, is_complete=False)
            else:
                kept.append((row, (*said, token), total))
        return [] if self._is_settled(number, kept) else kept

    def _finish(self, number: int, tokens: tuple[int, ...], log_prob: float, *, is_complete: bool) -> None:
        score = log_prob / self._length_penalty(len(tokens) + is_complete)
        pool = self._finished[number]
        pool.append(Hypothesis(tokens, log_prob, score, is_complete))
        pool.sort(key=lambda hypothesis: -hypothesis.score)
        del pool[self._width :]

    def _is_settled(self, number: int, alive: list[tuple[int, tuple[int, ...], float]]) -> bool:
        """Say whether no prefix that is alive can still beat the pool, however long it grows."""
        pool = self._finished[number]
        if not alive:
            return True
        if len(pool) < self._width:
            return False
        longest = self._length_penalty(self._decoding.max_tokens + 1)
        return max(log_prob for _, _, log_prob in alive) / longest <= pool[-1].score

    def _length_penalty(self, length: int) -> float:
        return float(((5 + length) / 6) ** self._decoding.length_penalty)


class Scoring:
    """Say a given target, and sum its log-probability: teacher forcing, a step at a time."""

    def __init__(self, target_ids: Sequence[int]) -> None:
        self.rows = 1
        self._target = list(target_ids)
        self._place = 0
        self.log_probs: list[float] = []

    def advance(self, logits: Floats) -> NextRows:
        token = self._target[self._place]
        row = logits[0]
        largest = row.max()
        self.log_probs.append(float(row[token] - largest - np.log(np.exp(row - largest).sum())))
        self._place += 1
        if self._place == len(self._target):
            self.rows = 0
            return NextRows(NO_ROWS, NO_ROWS)
        return NextRows(np.zeros(1, np.int64), np.array([token]))

    def hypotheses(self) -> list[Hypothesis]:
        total = sum(self.log_probs)
        return [Hypothesis(tuple(self._target), total, total / len(self._target), is_complete=True)]


def _followers(texts: Iterable[Sequence[int]], n: int) -> dict[tuple[int, ...], set[int]]:
    """Return what follows each (n-1)-gram of ``texts``."""
    followers: dict[tuple[int, ...], set[int]] = {}
    if n:
        for tokens in texts:
            for start in range(len(tokens) - n + 1):
                *prefix, last = tokens[start : start + n]
                followers.setdefault(tuple(prefix), set()).add(last)
    return followers
