"""What would be learned, looked at one exchange at a time: which are shown, and what the owner decides about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bot.intake import Judged
from bot.review_choice import Which
from storage.store import ConversationStore


def is_of(which: Which, judged: Judged) -> bool:
    """Tell whether an exchange is one of these."""
    if which is Which.WAITING:
        return not judged.is_in and judged.cause == "trust" and not judged.is_reviewed
    return which is Which.ALL or judged.is_in == (which is Which.IN)


@dataclass
class Selection:
    """What to show: one kind, of one person where ``person`` is given, with all of ``words`` in it."""

    which: Which = Which.ALL
    person: str | None = None
    words: str = ""

    def holds(self, judged: Judged) -> bool:
        """Tell whether an exchange is selected."""
        if self.person is not None and judged.exchange.person != self.person:
            return False
        if not is_of(self.which, judged):
            return False
        if not self.words:
            return True
        text = "\n".join((*judged.exchange.context, judged.exchange.response)).casefold()
        return all(word in text for word in self.words.casefold().split())


class PersonTally(NamedTuple):
    """How many exchanges of one person there are, and how many of them are learned."""

    exchanges: int
    is_in: int


@dataclass
class Tally:
    """How many exchanges there are, shown or not."""

    exchanges: int = 0
    is_in: int = 0
    waiting: int = 0
    reviewed: int = 0
    avoided: int = 0
    found: Counter[str] = field(default_factory=Counter)
    people: dict[str, PersonTally] = field(default_factory=dict)

    def add(self, judged: Judged, times: int = 1) -> None:
        """Count one more; -1 ``times`` takes it back."""
        exchange = judged.exchange
        self.exchanges += times
        self.is_in += times * judged.is_in
        self.waiting += times * is_of(Which.WAITING, judged)
        self.reviewed += times * judged.is_reviewed
        self.avoided += times * (judged.is_in and exchange.is_rejected)
        for kind, count in judged.found.items():
            self.found[kind] += times * count
        seen = self.people.get(exchange.person, PersonTally(0, 0))
        self.people[exchange.person] = PersonTally(seen.exchanges + times, seen.is_in + times * judged.is_in)

    def as_text(self) -> str:
        """Return the counts as a line."""
        return (
            f"{self.exchanges:,} exchanges: {self.is_in:,} in ({self.avoided:,} of them to avoid), "
            f"{self.exchanges - self.is_in:,} out, {self.waiting:,} of those wait for you; {self.reviewed:,} reviewed"
        )


class Review:
    """Walks over what was judged, and stores what the owner decides.

    Args:
        judge: judges everything anew: whom one trusts decides about others' exchanges too.
        limit: how many of the selected exchanges are kept to be shown; all are counted.
    """

    def __init__(
        self,
        store: ConversationStore,
        judge: Callable[[], Iterable[Judged]],
        selection: Selection | None = None,
        limit: int = 5000,
    ) -> None:
        self._store, self._judge, self._limit = store, judge, limit
        self._kept = replace(selection) if selection else Selection()
        self.selection = replace(self._kept)
        self.tally = Tally()
        self.left_out = 0
        self.shown: list[Judged] = []
        self._items: list[Judged] = []
        self._place = 0
        self.judge_all()

    def judge_all(self) -> None:
        """Judge everything anew, and stay where one was as far as that is still there."""
        here = self.current
        self.tally, self.left_out, self._items = Tally(), 0, []
        for judged in self._judge():
            self.tally.add(judged)
            if not self._kept.holds(judged):
                continue
            if len(self._items) < self._limit:
                self._items.append(judged)
            else:
                self.left_out += 1
        self._show(here)

    @property
    def current(self) -> Judged | None:
        """Return the exchange that is being looked at; None where none is selected."""
        return self.shown[self._place] if self.shown else None

    @property
    def place(self) -> int:
        """Return its number, from 1; 0 where there is none."""
        return self._place + 1 if self.shown else 0

    def go(self, steps: int) -> None:
        """Go to a later exchange, or an earlier one; both ends hold."""
        self._place = max(0, min(len(self.shown) - 1, self._place + steps))

    def select(self, **changes: Any) -> None:
        """Show others of those that were kept."""
        self.selection = replace(self.selection, **changes)
        self._show(self.current)

    def decide(self, is_accepted: bool, text: str | None = None) -> None:
        """Accept the current exchange, with another response where ``text`` is given, or reject it.

        Raises:
            StorageError: it was erased in the meantime.
        """
        judged = self.current
        if judged is None:
            return
        self._store.decisions.decide(judged.exchange, is_accepted, text)
        if text is not None or judged.cause == "decision":
            self.judge_all()  # what the words hold, or what an earlier decision hid
        elif not is_accepted:
            self._replace(judged, is_in=False, reason="you rejected it", cause="decision", is_reviewed=True)
        elif judged.cause == "trust":
            self._replace(judged, is_in=True, reason="you accepted it", cause="decision", is_reviewed=True)
        else:  # personal data, and what the cleaning drops, stay out
            self._replace(judged, is_reviewed=True)

    def undecide(self) -> None:
        """Take back what was decided about the current exchange."""
        if self.current is not None:
            self._store.decisions.undecide(self.current.exchange)
            self.judge_all()

    def set_standing(self, is_trusted: bool | None) -> None:
        """Trust or block whose exchange this is, or neither."""
        if self.current is not None:
            self._store.decisions.set_standing(self.current.exchange.person, is_trusted)
            self.judge_all()

    def _replace(self, old: Judged, **changes: Any) -> None:
        """Put the outcome of a decision in place, which changes no other exchange's."""
        new = replace(old, **changes)
        self.tally.add(old, -1)
        self.tally.add(new)
        self._items[self._items.index(old)] = new
        self._show(new)

    def _show(self, here: Judged | None) -> None:
        """Select from what is kept; the place is that of ``here``, or of what came next after it."""
        before = 0
        self.shown = []
        for judged in self._items:
            if here is not None and judged.exchange == here.exchange:
                before, here = len(self.shown), None
            if self.selection.holds(judged):
                self.shown.append(judged)
        self._place = max(0, min(before, len(self.shown) - 1))
