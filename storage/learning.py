"""What may be learned from: who consented, and which responses are worth it.

A response is what a person said, what a person taught, or a reply that was rated good and by nobody bad, and that
nobody cut. A reply that was rated bad and by nobody good, or that a person passed over for another, is a rejected
response: an example of what not to say. The bot's other replies are context only. Nothing that a person said who does
not consent is in either side of an exchange, nor what the bot answered them, and no judgement of theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.importing import is_imported
from storage.people import consenting
from storage.records import LoggedExchange, Origin
from storage.schema import ConversationRow, PersonRow, RatingRow, TaughtRow, TurnRow


class _Run(NamedTuple):
    """What one voice said in a row, oldest turn first, and the turn before all that."""

    turns: tuple[TurnRow, ...]
    before: TurnRow | None

    @property
    def text(self) -> str:
        return "\n".join(turn.text for turn in self.turns)


@dataclass(frozen=True)
class _Tree:
    """The turns of a conversation by id, the one talked in last, and who of its people consents."""

    key: str
    turns: Mapping[int, TurnRow]
    head_id: int | None
    consenting: frozenset[int]
    context_turns: int

    @cached_property
    def replies(self) -> Mapping[int | None, Sequence[TurnRow]]:
        """Return the bot's replies to each turn, oldest first."""
        replies: dict[int | None, list[TurnRow]] = defaultdict(list)
        for turn in self.turns.values():
            if turn.speaker == "bot" and turn.parent_id is not None:
                replies[turn.parent_id].append(turn)
        return replies

    @cached_property
    def taken(self) -> frozenset[int | None]:
        """Return the turns behind which something was said, or is going to be."""
        return frozenset(turn.parent_id for turn in self.turns.values()) | {self.head_id}

    def is_passed_over(self, reply: TurnRow) -> bool:
        """Tell whether the person had another reply made, or chose another, and did not go on behind this one."""
        others = [other.id for other in self.replies.get(reply.parent_id, ()) if other.id != reply.id]
        return reply.id not in self.taken and any(other > reply.id or other in self.taken for other in others)

    def before(self, turn: TurnRow) -> TurnRow | None:
        return self.turns.get(turn.parent_id or 0)

    def run_to(self, turn: TurnRow | None) -> _Run:
        """Return what one voice said in a row up to ``turn``."""
        said: list[TurnRow] = []
        voice = _voice(turn)
        while turn is not None and _voice(turn) == voice and turn.person_id in self.consenting:
            said.append(turn)
            turn = self.before(turn)
        return _Run(tuple(reversed(said)), turn)

    def exchange(
        self,
        response: str,
        origin: Origin,
        said: Sequence[TurnRow],
        asked: TurnRow | None,
        judge: PersonRow,
        created: datetime | None = None,
    ) -> LoggedExchange | None:
        """Return the response behind the runs that end with ``asked``; None where none of them may be used.

        Args:
            said: the turns whose words the response is; none of a lesson.
            created: when the lesson was taught.
        """
        runs: list[_Run] = []
        turn = asked
        while turn is not None and len(runs) < self.context_turns and turn.person_id in self.consenting:
            runs.append(self.run_to(turn))
            turn = runs[-1].before
        if asked is None or not runs:
            return None
        used = [*(turn for run in reversed(runs) for turn in run.turns), *said]
        return LoggedExchange(
            conversation=self.key,
            context=tuple(run.text for run in reversed(runs)),
            response=response,
            origin=origin,
            turn_id=said[-1].id if said else asked.id,
            person=judge.key,
            created=created or (said[-1] if said else asked).created,
            answers=asked.id,
            turn_ids=tuple(turn.id for turn in used),
            people=tuple(dict.fromkeys([*(turn.person.key for turn in used), judge.key])),
        )


def conversations_to_learn_from(session: Session) -> list[tuple[int, str]]:
    """Return number and key of every conversation in which someone who consents has said something."""
    willing = sorted(consenting(session))
    if not willing:
        return []
    theirs = select(TurnRow.conversation_id).where(TurnRow.person_id.in_(willing))
    places = select(ConversationRow.id, ConversationRow.key).where(ConversationRow.id.in_(theirs))
    return [(number, key) for number, key in session.execute(places.order_by(ConversationRow.id))]


def exchanges_of(session: Session, places: Mapping[int, str], context_turns: int) -> Iterator[LoggedExchange]:
    """Yield what may be learned from some conversations, given by number and key, one after the other.

    Of each: what was said, taught and judged, in that order.
    """
    willing = frozenset(consenting(session))
    chosen = select(ConversationRow.id, ConversationRow.head_id).where(ConversationRow.id.in_(places))
    heads = {row.id: row.head_id for row in session.execute(chosen)}
    turns: dict[int, dict[int, TurnRow]] = {number: {} for number in places}
    for turn in session.scalars(select(TurnRow).where(TurnRow.conversation_id.in_(places)).order_by(TurnRow.id)):
        turns[turn.conversation_id][turn.id] = turn
    here = select(TurnRow.id).where(TurnRow.conversation_id.in_(places))
    lessons: dict[int, list[TaughtRow]] = defaultdict(list)
    for lesson in session.scalars(
        select(TaughtRow).where(TaughtRow.turn_id.in_(here)).order_by(TaughtRow.turn_id, TaughtRow.person_id)
    ):
        lessons[lesson.turn_id].append(lesson)
    ratings: dict[int, list[RatingRow]] = defaultdict(list)
    for rating in session.scalars(
        select(RatingRow).where(RatingRow.turn_id.in_(here)).order_by(RatingRow.turn_id, RatingRow.person_id)
    ):
        ratings[rating.turn_id].append(rating)
    for number, key in places.items():
        tree = _Tree(key, turns[number], heads.get(number), willing, context_turns)
        yield from _said(tree)
        yield from _taught(tree, lessons)
        yield from _judged(tree, ratings)


def _said(tree: _Tree) -> Iterator[LoggedExchange]:
    goes_on = {turn.parent_id for turn in tree.turns.values() if _voice(turn) == _voice(tree.before(turn))}
    for turn in tree.turns.values():
        if turn.speaker == "person" and turn.person_id in tree.consenting and turn.id not in goes_on:
            run = tree.run_to(turn)
            origin: Origin = "imported" if is_imported(turn.person.key) else "person"
            found = tree.exchange(run.text, origin, run.turns, run.before, turn.person)
            if found is not None:
                yield found


def _taught(tree: _Tree, lessons: Mapping[int, Sequence[TaughtRow]]) -> Iterator[LoggedExchange]:
    for turn in tree.turns.values():
        for lesson in lessons.get(turn.id, ()):
            if lesson.person_id in tree.consenting:
                found = tree.exchange(lesson.text, "taught", (), turn, lesson.person, lesson.created)
                if found is not None:
                    yield found


def _judged(tree: _Tree, ratings: Mapping[int, Sequence[RatingRow]]) -> Iterator[LoggedExchange]:
    """Yield the bot's replies that were found good, or bad; those that people disagree about are neither."""
    for turn in tree.turns.values():
        if turn.speaker != "bot" or (turn.reply is not None and turn.reply.is_cut):
            continue
        given = ratings.get(turn.id, ())
        values = {rating.value for rating in given}
        judges = [rating.person for rating in given if rating.person_id in tree.consenting]
        origin: Origin = "rated" if given else "retried"
        if not given and tree.is_passed_over(turn) and turn.person_id in tree.consenting:
            judges = [turn.person]
        if judges and len(values) < 2:
            found = tree.exchange(turn.text, origin, (turn,), tree.before(turn), judges[0])
            if found is not None:
                yield replace(found, is_rejected=values != {1})


def _voice(turn: TurnRow | None) -> tuple[str, int] | None:
    """Return what turns have in common that one and the same voice said."""
    return (turn.speaker, turn.person_id) if turn is not None else None
