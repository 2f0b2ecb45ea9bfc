"""Whom to learn from: trust per person, caps on copies and floods, and a quarantine.

Filtering the messages of trolls one by one lets most of them through; judging each person by all that they say does
not (Ju et al. 2022, arXiv:2208.03295). So people wait until they are no longer new, or the owner has looked; and
who mostly copies, floods or swears waits whatever their age. What the owner says themself is always trusted.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from storage.errors import StorageError
from storage.records import LoggedExchange

_SENTENCE_END = re.compile(r"[.!?…。！？\n]+")
_NO_LETTER = re.compile(r"[\W\d_]+")
_REPEATED = re.compile(r"(.)\1+")
_TELLING_BYTES = 15  # a key at least this long is nothing that people say all the time
_SHORT_FACTOR = 10
_FEWEST_TO_JUDGE = 5
_FEWEST_FOR_SLOGANS = 10
_RUN = 3  # words
_TELLING_RUN_BYTES = 12  # "I don't know" has fewer


@dataclass(frozen=True)
class TrustConfig:
    """When people are learned from, besides the owner and whom the owner trusts.

    Attributes:
        quarantine: new people wait until the owner has looked; those of low trust always do.
        new_exchanges: fewer than these, or
        new_days: fewer days with a message, and a person is new.
        max_bad_share: the share of copies, floods and profanity above which a person has low trust.
        max_slogan_share: the share of a person's messages that may hold the same three words in a row; above it they
            have low trust. A campaign says one thing in words that differ.
        max_same_of_person: how often the same sentence of one person is learned; ten times that if it is short.
        max_same: how often the same sentence is learned of all; ten times that if it is short.
        max_per_hour: how many responses of one person's hour are learned.
        max_share: the share of all exchanges that one person may have, where there are more than two.
    """

    quarantine: bool = True
    new_exchanges: int = 20
    new_days: int = 3
    max_bad_share: float = 0.3
    max_slogan_share: float = 0.2
    max_same_of_person: int = 3
    max_same: int = 10
    max_per_hour: int = 120
    max_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("max_bad_share", "max_slogan_share", "max_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise StorageError(f"trust.{name} must be in (0, 1], got {getattr(self, name)}")
        for name in ("new_exchanges", "new_days"):
            if getattr(self, name) < 0:
                raise StorageError(f"trust.{name} must be at least 0, got {getattr(self, name)}")
        for name in ("max_same_of_person", "max_same", "max_per_hour"):
            if getattr(self, name) < 1:
                raise StorageError(f"trust.{name} must be at least 1, got {getattr(self, name)}")


class Verdict(NamedTuple):
    """Whether an exchange may be learned as far as its person is concerned, and why."""

    is_trusted: bool
    reason: str


@dataclass
class _Record:
    """What one person did."""

    exchanges: int = 0
    bad: int = 0
    days: set[date] = field(default_factory=set)
    hours: Counter[datetime] = field(default_factory=Counter)
    sentences: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    said: list[tuple[list[int], bool]] = field(
        default_factory=list
    )  # the sentences of each, and whether it is profane

    @property
    def bad_share(self) -> float:
        return self.bad / self.exchanges if self.exchanges else 0.0

    @property
    def slogan_share(self) -> float:
        """Return in which share of the messages the commonest run of words stands."""
        return max(self.runs.values(), default=0) / self.exchanges if self.exchanges else 0.0


class Trust:
    """Judges people by all of their exchanges, and then each exchange; the same way every time.

    Args:
        owners: tells whether a person is the owner, or speaks in a chat that the owner imported.
        standings: whom the owner trusts or blocks.
        is_profane: tells whether a response counts against whoever said it.
    """

    def __init__(
        self,
        config: TrustConfig,
        owners: Callable[[str], bool],
        standings: Mapping[str, bool],
        is_profane: Callable[[str], bool],
    ) -> None:
        self._config, self._is_owner, self._standings, self._is_profane = config, owners, standings, is_profane
        self._records: dict[str, _Record] = defaultdict(_Record)
        self._said: Counter[int] = Counter()  # sentences of all that need caps
        self._sayers: Counter[int] = Counter()

    def is_trusted(self, person: str) -> bool:
        """Tell whether nothing that the person says needs a cap."""
        return self._standings.get(person, self._is_owner(person))

    def survey(self, exchanges: Iterable[LoggedExchange]) -> None:
        """Look at all exchanges once: what follows depends on every one of them."""
        for exchange in exchanges:
            if self.is_trusted(exchange.person):
                self._records[exchange.person].exchanges += 1
                continue
            record = self._records[exchange.person]
            record.exchanges += 1
            record.days.add(exchange.created.date())
            record.hours[_hour(exchange)] += 1
            record.runs.update(_runs(exchange))
            keys = _sentences(exchange)
            for key in keys:
                self._sayers[key] += key not in record.sentences
                record.sentences[key] += 1
                self._said[key] += 1
            record.said.append((keys, exchange.origin == "person" and self._is_profane(exchange.response)))
        for record in self._records.values():
            record.bad = self._count_bad(record)

    def judge(self, exchanges: Iterable[LoggedExchange]) -> Iterator[tuple[LoggedExchange, Verdict]]:
        """Yield each of the surveyed exchanges with a verdict. The first ones of what is capped are learned."""
        said: Counter[int] = Counter()
        said_by: dict[str, Counter[int]] = defaultdict(Counter)
        hours: Counter[tuple[str, datetime]] = Counter()
        shares = self._shares()
        for exchange in exchanges:
            person = exchange.person
            verdict = self._of_person(person)
            if verdict.is_trusted and not self.is_trusted(person):
                hour = person, _hour(exchange)
                hours[hour] += 1
                keys = _sentences(exchange)
                said.update(keys)
                said_by[person].update(keys)
                problem = (
                    self._repeated(keys, said, said_by[person], person)
                    or self._flooded(hours[hour], person, hour[1])
                    or self._crowded(exchange, shares.get(person, 1.0))
                )
                verdict = Verdict(False, problem) if problem else verdict
            yield exchange, verdict

    def _of_person(self, person: str) -> Verdict:
        config, record = self._config, self._records[person]
        standing = self._standings.get(person)
        if standing is not None:
            return Verdict(standing, f"you trust {person}" if standing else f"you block {person}")
        if self._is_owner(person):
            return Verdict(True, "imported by you" if person.startswith("import:") else "your own")
        if record.bad_share > config.max_bad_share and record.exchanges >= _FEWEST_TO_JUDGE:
            reason = (
                f"{person} has low trust: {record.bad} of {record.exchanges} are copies, floods or profanity; "
                "waits until you have looked"
            )
            return Verdict(False, reason)
        if record.slogan_share > config.max_slogan_share and record.exchanges >= _FEWEST_FOR_SLOGANS:
            share = f"{record.slogan_share:.0%}"
            return Verdict(
                False,
                f"{person} has low trust: says the same in {share} of all messages; waits until you have looked",
            )
        seen = f"{_count(record.exchanges, 'exchange')} on {_count(len(record.days), 'day')}"
        is_new = record.exchanges < config.new_exchanges or len(record.days) < config.new_days
        if config.quarantine and is_new and len(self._records) > 1:
            return Verdict(False, f"{person} is new ({seen}); waits until you have looked")
        return Verdict(True, f"{person} is known ({seen})")

    def _count_bad(self, record: _Record) -> int:
        """Count what is profane or over the caps; of a flood that which is over, of copies all but the allowed."""
        config = self._config
        own: Counter[int] = Counter()
        bad = 0
        for keys, is_profane in record.said:
            own.update(keys)
            bad += is_profane or any(
                own[key] > self._limit(key, config.max_same_of_person)
                or (self._sayers[key] > 1 and self._said[key] > self._limit(key, config.max_same))
                for key in keys
            )
        return max(bad, sum(max(0, count - config.max_per_hour) for count in record.hours.values()))

    def _repeated(self, keys: list[int], said: Counter[int], own: Counter[int], person: str) -> str | None:
        config = self._config
        for key in keys:
            limit = self._limit(key, config.max_same_of_person)
            if own[key] > limit:
                times = self._records[person].sentences[key]
                return f"{person} says the same {times} times; {limit} are learned"
            limit = self._limit(key, config.max_same)
            if said[key] > limit:
                return f"said {self._said[key]} times by {_count(self._sayers[key], 'person')}; {limit} are learned"
        return None

    def _flooded(self, number: int, person: str, hour: datetime) -> str | None:
        limit = self._config.max_per_hour
        if number <= limit:
            return None
        return f"one of {self._records[person].hours[hour]} of {person} in one hour; {limit} are learned"

    def _crowded(self, exchange: LoggedExchange, share: float) -> str | None:
        if share >= 1.0 or _draw(str(exchange.turn_id)) < share * 2**64:
            return None
        limit = self._config.max_share
        return f"{exchange.person} has more than {limit:.0%} of all exchanges; {share:.0%} of theirs are learned"

    def _shares(self) -> dict[str, float]:
        """Return which share of their exchanges is learned of those who have too many."""
        config = self._config
        judged = {person: record.exchanges for person, record in self._records.items() if self._of_person(person)[0]}
        total = sum(judged.values())
        shares = {}
        if len(judged) > 2 and config.max_share < 1.0:
            for person, count in judged.items():
                allowed = config.max_share / (1 - config.max_share) * (total - count)
                if not self.is_trusted(person) and count > allowed:
                    shares[person] = allowed / count
        return shares

    @staticmethod
    def _limit(key: int, limit: int) -> int:
        return limit if key % 2 else limit * _SHORT_FACTOR


def _sentences(exchange: LoggedExchange) -> list[int]:
    """Return 64-bit keys of a response and its telling sentences, which get odd ones; none where the bot said it."""
    if exchange.origin in ("rated", "retried"):
        return []
    pieces = {_key(exchange.response)}
    pieces.update(key for piece in _SENTENCE_END.split(exchange.response) if _is_telling(key := _key(piece)))
    return sorted((_draw(piece) & ~1) | _is_telling(piece) for piece in pieces)


def _runs(exchange: LoggedExchange) -> set[int]:
    """Return 64-bit keys of the telling runs of three words of a response; none where the bot said it."""
    if exchange.origin in ("rated", "retried"):
        return set()
    words = exchange.response.split()
    runs = (_key(" ".join(words[start : start + _RUN])) for start in range(len(words) - _RUN + 1))
    return {_draw(run) for run in runs if len(run.encode("utf-8", "replace")) >= _TELLING_RUN_BYTES}


def _key(text: str) -> str:
    """Return what is the same of texts that differ in case, digits, punctuation and letters drawn out."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _REPEATED.sub(r"\1", _NO_LETTER.sub("", folded)) or folded.strip()


def _is_telling(key: str) -> bool:
    return len(key.encode("utf-8", "replace")) >= _TELLING_BYTES


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


def _hour(exchange: LoggedExchange) -> datetime:
    return exchange.created.replace(minute=0, second=0, microsecond=0)


def _count(number: int, noun: str) -> str:
    if number != 1:
        noun = "people" if noun == "person" else f"{noun}s"
    return f"{number} {noun}"
