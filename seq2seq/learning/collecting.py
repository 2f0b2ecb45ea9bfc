"""Logged exchanges made ready to be learned: cleaned, weighed, split into what trains, chooses and judges."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from seq2seq.cleaning import FILTERS, Cleaner, distinct_rows, text_key
from seq2seq.config import CleaningConfig, RetrainingConfig
from seq2seq.dialogues import fold_blanks
from seq2seq.evaluation.likelihood import TestExchange, TestSet
from seq2seq.learning.mixing import WeightedExchange
from seq2seq.words import count_words

Part = Literal["train", "choose", "judge"]
_PIECE = 8  # exchanges of a piece of a conversation, on average
_TELLING_WORDS = 5  # from so many on, equal texts are hardly chance


class LoggedExchange(Protocol):
    """What the memory yields, as far as training goes. ``turn_ids`` are those of all turns in it."""

    @property
    def conversation(self) -> str: ...
    @property
    def context(self) -> Sequence[str]: ...
    @property
    def response(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def turn_id(self) -> int: ...
    @property
    def is_rejected(self) -> bool: ...
    @property
    def answers(self) -> int: ...
    @property
    def turn_ids(self) -> Sequence[int]: ...


@dataclass
class Collected:
    """Exchanges by what they are for.

    Attributes:
        train: learned from; those that were rejected too.
        choose: held out; end the training and choose the weights.
        judge: held out; seen by the gate alone.
        dropped: how many were left out, by the name of the filter.
    """

    train: list[LoggedExchange] = field(default_factory=list)
    choose: list[LoggedExchange] = field(default_factory=list)
    judge: list[LoggedExchange] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def as_text(self) -> str:
        """Return the counts, a line each."""
        rejected = sum(exchange.is_rejected for exchange in self.train)
        origins = Counter(exchange.origin for exchange in self.train if not exchange.is_rejected)
        lines = [f"{len(self.train) - rejected:8,} to learn: {', '.join(f'{n:,} {o}' for o, n in origins.items())}"]
        lines.append(f"{rejected:8,} to unlearn (rated bad, or retried)")
        lines.append(f"{len(self.choose):8,} held out, to choose the weights by")
        lines.append(f"{len(self.judge):8,} held out, to judge by")
        lines += [f"{count:8,} dropped: {reason}" for reason, count in self.left_out.items()]
        return "\n".join(lines)

    @property
    def left_out(self) -> dict[str, int]:
        """Return how many were dropped, by the reason in words, most first."""
        return {_reason(name): count for name, count in self.dropped.most_common() if count}


_REPEATS_HELD_OUT = "repeats_held_out"


def _reason(name: str) -> str:
    if name == _REPEATS_HELD_OUT:
        return "holds words of a held-out response"
    return f"{FILTERS[name]} (cleaning.{name})"


def parts_of(exchanges: Sequence[LoggedExchange], held_out_share: float) -> list[Part]:
    """Tell what each exchange is for: by a hash of its conversation, the same in every run.

    A long conversation falls into pieces that are told apart, for a chat that never ends would else be held out
    whole, or not at all. A piece begins where a hash of the turn's id says so, one in 8: what is said later moves
    no earlier boundary. A larger share holds out the same pieces and more. Half of the exchanges of a piece judge, so
    that one piece is enough.
    """
    boundaries: dict[str, list[int]] = {}
    for exchange in exchanges:
        if _draw(str(exchange.turn_id)) < 2**64 // _PIECE:
            boundaries.setdefault(exchange.conversation, []).append(exchange.turn_id)
    for found in boundaries.values():
        found.sort()
    parts: list[Part] = []
    for exchange in exchanges:
        number = bisect_right(own, exchange.turn_id) if (own := boundaries.get(exchange.conversation)) else 0
        piece = f"memory/{exchange.conversation}/{own[number - 1] if own and number else 0}"
        if _draw(piece) >= held_out_share * 2**64:
            parts.append("train")
        else:
            parts.append("judge" if _draw(f"{exchange.turn_id}/part") % 2 else "choose")
    return parts


def _draw(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())


def collect(exchanges: Sequence[LoggedExchange], config: RetrainingConfig, cleaning: CleaningConfig) -> Collected:
    """Clean and split exchanges.

    What trains holds no response of five words or more that is held out, on neither side: a piece begins where the
    one before it ends, and people say things twice.
    """
    found = Collected()
    kept = _clean(exchanges, cleaning, found.dropped)
    parts: dict[Part, list[LoggedExchange]] = {"train": found.train, "choose": found.choose, "judge": found.judge}
    places = parts_of(kept, config.held_out_share)
    secret = {
        text_key(exchange.response)
        for exchange, part in zip(kept, places, strict=True)
        if part != "train" and not exchange.is_rejected and count_words(exchange.response) >= _TELLING_WORDS
    }
    for exchange, part in zip(kept, places, strict=True):
        if part != "train" and exchange.is_rejected:
            continue
        if part == "train" and any(text_key(text) in secret for text in (*exchange.context, exchange.response)):
            found.dropped[_REPEATS_HELD_OUT] += 1
            continue
        parts[part].append(exchange)
    return found


def weigh(exchanges: Sequence[LoggedExchange], config: RetrainingConfig) -> list[WeightedExchange]:
    """Give each exchange the weight of its origin; negative where it was rejected."""
    by_origin = {"taught": config.taught_weight, "rated": config.rated_weight}
    return [
        WeightedExchange(
            tuple(map(fold_blanks, exchange.context)),
            fold_blanks(exchange.response),
            -config.rejected_weight if exchange.is_rejected else by_origin.get(exchange.origin, 1.0),
        )
        for exchange in exchanges
    ]


def as_test_set(name: str, exchanges: Sequence[LoggedExchange]) -> TestSet:
    """Return exchanges in the form in which models are measured."""
    return TestSet(
        name,
        tuple(
            TestExchange(tuple(map(fold_blanks, e.context)), fold_blanks(e.response), (), number, len(e.context))
            for number, e in enumerate(exchanges)
        ),
        left_out=0,
    )


def _clean(
    exchanges: Sequence[LoggedExchange], cleaning: CleaningConfig, dropped: Counter[str]
) -> list[LoggedExchange]:
    """Ask the filters; of what was rejected only whether it says anything, for it is not to be said."""
    cleaner = Cleaner(cleaning)
    kept, keys = [], []
    for exchange in exchanges:
        prompt, response = (cleaner.traits(fold_blanks(text)) for text in (exchange.context[-1], exchange.response))
        objection = cleaner.objection(prompt, response) if not exchange.is_rejected else None
        if not fold_blanks(exchange.response):
            objection = "min_response_words"
        if objection is not None:
            dropped[objection] += 1
            continue
        kept.append(exchange)
        keys.append((prompt.key, response.key))
    targets = np.array([number for number, exchange in enumerate(kept) if not exchange.is_rejected], dtype=np.int64)
    if not len(targets):
        return kept
    columns = np.array(keys, dtype=np.uint64)[targets]
    repeated, crowded = distinct_rows(columns[:, 0], columns[:, 1], cleaning)
    gone = set()
    for name, rows in (("drop_repeated_pairs", repeated), ("max_pairs_per_response", crowded)):
        dropped[name] += len(rows)
        gone |= set(targets[rows].tolist())
    return [exchange for number, exchange in enumerate(kept) if number not in gone]
