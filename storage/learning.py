"""What may be learned from: who consented, and which responses are worth it.

A response is what a person said, what a person taught, or a reply that was rated good and by nobody bad, and that
nobody cut. The bot's other replies are context only. Nothing that a person said who does not consent is in either
side of an exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.people import consenting
from storage.records import LoggedExchange
from storage.schema import ConversationRow, RatingRow, TaughtRow, TurnRow


@dataclass(frozen=True)
class _Tree:
    """The turns of a conversation by id, and who of its people consents."""

    turns: Mapping[int, TurnRow]
    consenting: frozenset[int]

    def run_to(self, turn: TurnRow | None) -> tuple[str, TurnRow | None]:
        """Return what one speaker said in a row up to ``turn``, and the turn before all that."""
        texts: list[str] = []
        voice = _voice(turn)
        while turn is not None and _voice(turn) == voice and turn.person_id in self.consenting:
            texts.append(turn.text)
            turn = self.turns.get(turn.parent_id or 0)
        return "\n".join(reversed(texts)), turn

    def context_to(self, turn: TurnRow | None, limit: int) -> tuple[str, ...]:
        """Return at most ``limit`` runs that end with ``turn``, oldest first."""
        runs: list[str] = []
        while turn is not None and len(runs) < limit and turn.person_id in self.consenting:
            text, turn = self.run_to(turn)
            runs.append(text)
        return tuple(reversed(runs))


def conversations_to_learn_from(session: Session) -> list[tuple[int, str]]:
    """Return number and key of every conversation in which someone who consents has said something."""
    willing = sorted(consenting(session))
    if not willing:
        return []
    theirs = select(TurnRow.conversation_id).where(TurnRow.person_id.in_(willing))
    places = select(ConversationRow.id, ConversationRow.key).where(ConversationRow.id.in_(theirs))
    return [(number, key) for number, key in session.execute(places.order_by(ConversationRow.id))]


def exchanges_of(session: Session, number: int, key: str, context_turns: int) -> Iterator[LoggedExchange]:
    """Yield what may be learned from one conversation: what was said, taught and rated, in that order."""
    rows = session.scalars(select(TurnRow).where(TurnRow.conversation_id == number).order_by(TurnRow.id)).all()
    tree = _Tree({row.id: row for row in rows}, frozenset(consenting(session)))
    goes_on = {row.parent_id for row in rows if _voice(row) == _voice(tree.turns.get(row.parent_id or 0))}
    for row in rows:
        if row.speaker == "person" and row.person_id in tree.consenting and row.id not in goes_on:
            response, before = tree.run_to(row)
            context = tree.context_to(before, context_turns)
            if context:
                yield LoggedExchange(key, context, response, "person")
    here = TurnRow.conversation_id == number
    for taught in session.scalars(select(TaughtRow).join(TurnRow, TurnRow.id == TaughtRow.turn_id).where(here)):
        context = tree.context_to(tree.turns[taught.turn_id], context_turns)
        if context and taught.person_id in tree.consenting:
            yield LoggedExchange(key, context, taught.text, "taught")
    ratings: dict[int, set[int]] = {}
    for rating in session.scalars(select(RatingRow).join(TurnRow, TurnRow.id == RatingRow.turn_id).where(here)):
        if rating.person_id in tree.consenting or rating.value < 0:
            ratings.setdefault(rating.turn_id, set()).add(rating.value)
    for turn_id, values in sorted(ratings.items()):
        reply = tree.turns[turn_id]
        context = tree.context_to(tree.turns.get(reply.parent_id or 0), context_turns)
        if values == {1} and context and not (reply.reply and reply.reply.is_cut):
            yield LoggedExchange(key, context, reply.text, "rated")


def _voice(turn: TurnRow | None) -> tuple[str, int] | None:
    """Return what turns have in common that one and the same voice said."""
    return (turn.speaker, turn.person_id) if turn is not None else None
