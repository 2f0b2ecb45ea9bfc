"""Ways to find a reply: greedy, sampling and beam search.

Each is a program over rows: it is given the logits of its rows and answers which rows go on and with which
tokens. ``scheduler.py`` runs many programs in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.config import DecodingConfig
from seq2seq.sampling import Bools, log_normalisers, penalise_repetition, sample, top_tokens
from seq2seq.tokenizer import END, SPECIAL_TOKENS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
NEVER_SAID = np.array([i for i in range(len(SPECIAL_TOKENS)) if i != END])
_MARKS = frozenset(NEVER_SAID.tolist())
Stop = Callable[[Sequence[int]], bool]


@dataclass(frozen=True)
class Hypothesis:
    """A reply in tokens.

    Attributes:
        token_ids: without the end mark.
        log_prob: natural log of its probability, end mark included where it was reached.
        score: what the search ranks by.
        is_complete: whether it ended by itself or at a stop string, not at ``max_tokens``.
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

    @property
    def rows(self) -> int: ...

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
        phrases: what would complete a token sequence that may never be, by all its tokens before the last.
    """

    no_repeat_ngram: int = 0
    context_ngram: int = 0
    context: Mapping[tuple[int, ...], set[int]] = field(default_factory=dict)
    phrases: Mapping[tuple[int, ...], set[int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, decoding: DecodingConfig, context: Iterable[Sequence[int]], phrases: Sequence[tuple[int, ...]]
    ) -> Bans:
        return cls(
            decoding.no_repeat_ngram,
            decoding.no_repeat_context_ngram,
            _followers(context, decoding.no_repeat_context_ngram),
            _last_tokens(phrases),
        )

    @cached_property
    def _prefix_lengths(self) -> frozenset[int]:
        return frozenset(map(len, self.phrases))

    def apply(self, logits: Floats, said: Sequence[Sequence[int]], min_tokens: int) -> None:
        """Put the banned tokens of each row to ``-inf``, in place; who may say nothing at all may end."""
        logits[:, NEVER_SAID] = -np.inf
        for row, tokens in enumerate(said):
            banned = self._of_row(tokens)
            if len(tokens) < min_tokens:
                banned.add(END)
            if len(banned.difference(_MARKS)) + len(_MARKS) >= logits.shape[1]:
                banned.discard(END)
            if banned:
                logits[row, list(banned)] = -np.inf

    def _of_row(self, tokens: Sequence[int]) -> set[int]:
        banned: set[int] = set()
        n = self.no_repeat_ngram
        if n and len(tokens) >= n:
            prefix = tokens[len(tokens) - n + 1 :]
            banned.update(
                tokens[start + n - 1]
                for start in range(len(tokens) - n + 1)
                if tokens[start : start + n - 1] == prefix
            )
        if self.context:
            start = len(tokens) - self.context_ngram + 1
            if start >= 0:
                banned |= self.context.get(tuple(tokens[start:]), set())
        for length in self._prefix_lengths:
            if length <= len(tokens):
                banned |= self.phrases.get(tuple(tokens[len(tokens) - length :]), set())
        return banned


class Sampling:
    """Draw ``count`` replies side by side, each with its own random numbers; or the greedy one.

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
        pieces: Bools | None = None,
        is_stopped: Stop | None = None,
    ) -> None:
        self.rows = count
        self._decoding, self._bans, self._greedy, self._is_stopped = decoding, bans, greedy, is_stopped
        self._pieces = pieces
        generators = [] if greedy else [np.random.default_rng([abs(seed), int(seed < 0), n]) for n in range(count)]
        self._uniforms = np.array([generator.random(decoding.max_tokens) for generator in generators])
        self._alive = list(range(count))
        self.said: list[list[int]] = [[] for _ in range(count)]
        self._log_probs: list[list[float]] = [[] for _ in range(count)]  # of each token, the end mark included
        self._complete = [False] * count

    def advance(self, logits: Floats) -> NextRows:
        normalisers = log_normalisers(logits)
        said = [self.said[number] for number in self._alive]
        self._bans.apply(logits, said, self._decoding.min_tokens)
        chosen = self._choose(penalise_repetition(logits, said, self._decoding))
        log_probs = logits[np.arange(len(logits)), chosen] - normalisers
        parents = []
        for row, number in enumerate(self._alive):
            token = int(chosen[row])
            self._log_probs[number].append(float(log_probs[row]))
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
            Hypothesis(tuple(said), sum(log_probs), sum(log_probs) / max(1, len(log_probs)), complete)
            for said, log_probs, complete in zip(self.said, self._log_probs, self._complete, strict=True)
        ]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def _choose(self, logits: Floats) -> Ints:
        if self._greedy:
            return np.asarray(logits.argmax(axis=1))
        step = len(self.said[self._alive[0]])
        return sample(logits, self._decoding, self._uniforms[self._alive, step], self._pieces)


class _Prefix(NamedTuple):
    """An unfinished hypothesis, and the row of the last step that said it."""

    row: int
    tokens: tuple[int, ...]
    log_prob: float


class BeamSearch:
    """Keep the ``beam_size`` best hypotheses; rank them by log-probability over a length penalty.

    A finished hypothesis keeps its place in the beam, so the search ends when all are finished, and a beam of
    one is greedy. The penalty is ((5 + length) / 6) ** alpha (Wu et al. 2016, arXiv:1609.08144, section 7). With
    ``beam_groups`` the beam is split, and a group pays ``diversity_penalty`` for each hypothesis of earlier groups
    that goes on with the same token at this step (Vijayakumar et al. 2018, arXiv:1610.02424, section 3). Bans hold
    here too; penalties for repetition do not, since scores are to stay probabilities.
    """

    def __init__(self, decoding: DecodingConfig, bans: Bans, is_stopped: Stop | None = None) -> None:
        self.rows = 1
        self._decoding, self._bans, self._is_stopped = decoding, bans, is_stopped
        self._width = decoding.beam_size // decoding.beam_groups
        # At first all groups share the one row.
        self._groups = [[_Prefix(0, (), 0.0)] for _ in range(decoding.beam_groups)]
        self._finished: list[list[Hypothesis]] = [[] for _ in range(decoding.beam_groups)]

    def advance(self, logits: Floats) -> NextRows:
        normalisers = log_normalisers(logits)
        said: list[tuple[int, ...]] = [()] * len(logits)
        for prefix in (prefix for group in self._groups for prefix in group):
            said[prefix.row] = prefix.tokens
        self._bans.apply(logits, said, self._decoding.min_tokens)
        penalty = np.zeros(logits.shape[1], np.float32)
        going_on: list[_Prefix] = []
        for number, group in enumerate(self._groups):
            kept = self._extend(number, group, logits, normalisers, penalty) if group else []
            self._groups[number] = [prefix._replace(row=len(going_on) + n) for n, prefix in enumerate(kept)]
            going_on += kept
            for prefix in kept:
                penalty[prefix.tokens[-1]] += self._decoding.diversity_penalty
        self.rows = len(going_on)
        parents = np.array([prefix.row for prefix in going_on], dtype=np.int64)
        return NextRows(parents, np.array([prefix.tokens[-1] for prefix in going_on], dtype=np.int64))

    def hypotheses(self) -> list[Hypothesis]:
        found = {hypothesis.token_ids: hypothesis for group in self._finished for hypothesis in group}.values()
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def _extend(
        self, number: int, group: list[_Prefix], logits: Floats, normalisers: Floats, penalty: Floats
    ) -> list[_Prefix]:
        """Return the group's prefixes behind this step; those that finish are put aside."""
        rows = [prefix.row for prefix in group]
        before = np.array([prefix.log_prob for prefix in group])
        places = self._width - len(self._finished[number])
        pays = number > 0 and self._decoding.diversity_penalty > 0
        tokens, values = top_tokens([logits[row] - penalty if pays else logits[row] for row in rows], places)
        totals = before[:, None] + (values - normalisers[rows, None])
        kept: list[_Prefix] = []
        for place in np.argsort(-totals, axis=None, kind="stable")[:places]:
            member, rank = divmod(int(place), totals.shape[1])
            row, said, log_prob = group[member]
            token = int(tokens[member, rank])
            if not np.isfinite(logits[row, token]):
                break  # all that is left is banned
            log_prob += float(logits[row, token] - normalisers[row])
            if token == END:
                self._finish(number, said, log_prob, len(said) + 1, is_complete=True)
            elif self._is_stopped is not None and self._is_stopped((*said, token)):
                self._finish(number, (*said, token), log_prob, len(said) + 1, is_complete=True)
            elif len(said) + 1 == self._decoding.max_tokens:
                self._finish(number, (*said, token), log_prob, len(said) + 1, is_complete=False)
            else:
                kept.append(_Prefix(row, (*said, token), log_prob))
        return kept

    def _finish(
        self, number: int, tokens: tuple[int, ...], log_prob: float, length: int, *, is_complete: bool
    ) -> None:
        """Add a hypothesis of ``length`` tokens, the end mark counted."""
        score = log_prob / self._length_penalty(length)
        self._finished[number].append(Hypothesis(tokens, log_prob, score, is_complete))

    def _length_penalty(self, length: int) -> float:
        return float(((5 + length) / 6) ** self._decoding.length_penalty)


class Continuation:
    """Say a given beginning, then let a program go on from there; only what the program adds is scored."""

    def __init__(self, beginning: Sequence[int], program: Program) -> None:
        self._beginning, self._program = list(beginning), program
        self._place = 0

    @property
    def rows(self) -> int:
        return 1 if self._place < len(self._beginning) else self._program.rows

    def advance(self, logits: Floats) -> NextRows:
        if self._place == len(self._beginning):
            return self._program.advance(logits)
        token = self._beginning[self._place]
        self._place += 1
        return NextRows(np.zeros(self.rows, np.int64), np.full(self.rows, token))

    def hypotheses(self) -> list[Hypothesis]:
        beginning = tuple(self._beginning)
        return [replace(found, token_ids=beginning + found.token_ids) for found in self._program.hypotheses()]


def _last_tokens(phrases: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], set[int]]:
    """Return the last tokens of phrases, by the tokens before."""
    found: dict[tuple[int, ...], set[int]] = {}
    for *prefix, last in phrases:
        found.setdefault(tuple(prefix), set()).add(last)
    return found


def _followers(texts: Iterable[Sequence[int]], n: int) -> dict[tuple[int, ...], set[int]]:
    """Return what follows each (n-1)-gram of ``texts``."""
    followers: dict[tuple[int, ...], set[int]] = {}
    if n:
        for tokens in texts:
            for start in range(len(tokens) - n + 1):
                *prefix, last = tokens[start : start + n]
                followers.setdefault(tuple(prefix), set()).add(last)
    return followers
