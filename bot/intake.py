"""What would be learned from the memory, exchange by exchange, with the reason why or why not.

The memory yields what people consented to (``storage.learning``). Of that are left out, in this order: what the owner
rejected, what holds personal data, what the cleaning filters drop, and what people said who are not trusted. What the
owner accepted needs no trust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from bot.settings import Settings, apply_overrides
from seq2seq.cleaning import FILTERS, Cleaner
from seq2seq.config import CleaningConfig
from seq2seq.scrubbing import KINDS, Scrubber, ScrubbingConfig
from storage.decisions import decision_key
from storage.importing import is_imported
from storage.records import LoggedExchange
from storage.store import ConversationStore
from storage.trust import Trust, TrustConfig

Cause = Literal["decision", "personal data", "cleaning", "trust"]


@dataclass(frozen=True)
class Judged:
    """An exchange, and whether it would be learned.

    Attributes:
        exchange: as it was logged; the owner's decisions are about this.
        learned: as it would be learned: scrubbed, and with the owner's words where they changed it. If it is out, it
            may have placeholders, such as ``[phone]``.
        is_in: it would be learned; of a rejected reply: its likelihood would be lowered.
        reason: why it is in or out, in words.
        cause: what decided that.
        found: personal data by kind, in the context too.
        is_reviewed: the owner decided about it, or about its person.
    """

    exchange: LoggedExchange
    learned: LoggedExchange
    is_in: bool
    reason: str
    cause: Cause
    found: Counter[str]
    is_reviewed: bool


@dataclass
class IntakeReport:
    """How much would be learned, how much was reviewed, and what keeps the rest out."""

    learned: int = 0
    rejected: int = 0
    reviewed: int = 0
    people: set[str] = field(default_factory=set)
    out: Counter[Cause] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, judged: Judged) -> None:
        """Count one exchange."""
        if judged.is_in:
            self.people.add(judged.exchange.person)
            self.learned += not judged.exchange.is_rejected
            self.rejected += judged.exchange.is_rejected
            self.reviewed += judged.is_reviewed
        else:
            self.out[judged.cause] += 1
        self.found += judged.found

    def as_text(self) -> str:
        """Return the counts as lines for a terminal."""
        lines = [
            f"{self.learned:>8,} exchanges of {len(self.people):,} people would be learned",
            f"{self.rejected:>8,} replies would be unlearned (rated bad, or retried)",
            f"{self.reviewed:>8,} of these were reviewed, one by one or by their person",
        ]
        lines += [f"{count:>8,} are left out: {_CAUSES[cause]}" for cause, count in self.out.most_common()]
        lines += [f"{count:>8,} times found: {KINDS[kind]}" for kind, count in self.found.most_common()]
        return "\n".join(lines)


_CAUSES: dict[Cause, str] = {
    "decision": "you rejected them",
    "personal data": "they hold personal data",
    "cleaning": "the cleaning filters drop them",
    "trust": "their person is not trusted, or said too much of it (`backchat review`)",
}


def judge_exchanges(store: ConversationStore, settings: Settings) -> Iterator[Judged]:
    """Yield every exchange that people consented to, judged, in the order of ``store.exchanges``.

    Raises:
        MissingExtraError: the extra ``train`` is not installed; it brings what finds personal data and profanity.
        StorageError: the memory cannot be read, or a setting of ``trust`` is out of range.
    """
    cleaning = apply_overrides(CleaningConfig(), settings.cleaning)
    scrubber = Scrubber(apply_overrides(ScrubbingConfig(), settings.scrubbing))
    cleaner = Cleaner(cleaning)
    decisions, standings = store.decisions.all(), store.decisions.standings()
    trust = Trust(
        apply_overrides(TrustConfig(), settings.trust),
        _owners(store, settings),
        standings,
        lambda text: cleaner.traits(text).is_profane,
    )
    trust.survey(store.exchanges())
    for exchange, verdict in trust.judge(store.exchanges()):
        decision = decisions.get(decision_key(exchange))
        wanted = decision.text if decision is not None and decision.text is not None else exchange.response
        scrubbed = scrubber.scrub_exchange(exchange.context, wanted)
        dropped = None
        if not exchange.is_rejected and scrubbed.objection is None:
            dropped = cleaner.objection(cleaner.traits(scrubbed.context[-1]), cleaner.traits(scrubbed.response))
        cause: Cause = "trust"
        is_in, reason = verdict.is_trusted, verdict.reason
        if decision is not None and not decision.is_accepted:
            is_in, cause, reason = False, "decision", "you rejected it"
        elif scrubbed.objection is not None:
            is_in, cause, reason = False, "personal data", scrubbed.objection
        elif dropped is not None:
            is_in, cause, reason = False, "cleaning", f"{FILTERS[dropped]} (cleaning.{dropped})"
        elif decision is not None:
            is_in, cause, reason = True, "decision", "you changed it" if decision.text else "you accepted it"
        learned = replace(exchange, context=scrubbed.context, response=scrubbed.response)
        is_reviewed = decision is not None or exchange.person in standings
        yield Judged(exchange, learned, is_in, reason, cause, scrubbed.found, is_reviewed)


def exchanges_to_learn(
    store: ConversationStore, settings: Settings, report: IntakeReport
) -> Iterator[LoggedExchange]:
    """Yield the exchanges that are in, as they are to be learned, rejected ones too; ``report`` counts all.

    Raises:
        MissingExtraError, StorageError: as ``judge_exchanges``.
    """
    for judged in judge_exchanges(store, settings):
        report.add(judged)
        if judged.is_in:
            yield judged.learned


def _owners(store: ConversationStore, settings: Settings) -> Callable[[str], bool]:
    """Return what tells whether a person is the owner: at the terminal, an admin, or in a chat that they imported."""
    admins = {f"telegram:{number}" for number in settings.telegram.admins}

    @cache
    def is_owner(person: str) -> bool:
        names = store.people.identities(person)
        return any(name.startswith("terminal:") or is_imported(name) or name in admins for name in names)

    return is_owner
