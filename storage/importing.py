"""Dialogues from elsewhere, such as a chat export, brought into the memory.

Each speaker of an import is a person of their own, ``import:SOURCE/NAME``, searched, exported and forgotten
as any other; who imports a chat has it learned from, so these people count as consenting until that is revoked. Turns
of speakers who are not to be learned are marked ``other``: context, and never a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage import erasing, people, search
from storage.database import storable
from storage.schema import ConsentRow, ConversationRow, PersonRow, TurnRow

IMPORTED = "import:"  # how the keys of imported speakers begin
_LONGEST_KEY = 200


class DialogueTurn(Protocol):
    """What one speaker said before another did."""

    @property
    def speaker(self) -> str: ...
    @property
    def text(self) -> str: ...


class Dialogue(Protocol):
    """The shape of an imported dialogue. ``responders`` are those to be learned, None for all."""

    @property
    def key(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def turns(self) -> Sequence[DialogueTurn]: ...
    @property
    def responders(self) -> frozenset[str] | None: ...


def import_dialogues(session: Session, dialogues: Sequence[Dialogue], moment: datetime) -> int:
    """Store dialogues, each under its key, and return how many are new or have changed.

    One that is there already is left alone; one that has grown gets its new turns; any other is replaced.
    """
    changed = 0
    growing: list[tuple[ConversationRow, Sequence[DialogueTurn], Dialogue]] = []
    for dialogue in dialogues:
        key = storable(dialogue.key)[:_LONGEST_KEY]
        place = session.scalar(select(ConversationRow).where(ConversationRow.key == key).with_for_update())
        known: list[tuple[str, str, str]] = []
        if place is not None:
            query = select(PersonRow.key, TurnRow.speaker, TurnRow.text).join(TurnRow.person)
            query = query.where(TurnRow.conversation_id == place.id).order_by(TurnRow.id)
            known = [(person, speaker, text) for person, speaker, text in session.execute(query)]
        wanted = [
            (_person_key(dialogue, turn), _role(dialogue, turn), storable(turn.text)) for turn in dialogue.turns
        ]
        if known == wanted:
            continue
        changed += 1
        if place is not None and wanted[: len(known)] != known:
            erasing.delete_conversations(session, [place.id])
            session.expunge(place)
            place, known = None, []
        if place is None:
            owner = _speaker(session, dialogue, dialogue.turns[0], moment)
            place = ConversationRow(key=key, person_id=owner.id, created=moment, updated=moment)
            session.add(place)
        growing.append((place, dialogue.turns[len(known) :], dialogue))
    session.flush()
    _append_side_by_side(session, growing, moment)
    return changed


def _append_side_by_side(
    session: Session, growing: list[tuple[ConversationRow, Sequence[DialogueTurn], Dialogue]], moment: datetime
) -> None:
    """Append the n-th new turn of all dialogues in one statement, then the next: each names the one before it."""
    for number in range(max((len(turns) for _, turns, _ in growing), default=0)):
        rows = []
        for place, turns, dialogue in growing:
            if number < len(turns):
                turn = turns[number]
                row = TurnRow(
                    conversation_id=place.id,
                    parent_id=place.head_id,
                    person_id=_speaker(session, dialogue, turn, moment).id,
                    speaker=_role(dialogue, turn),
                    text=storable(turn.text),
                    created=moment,
                )
                rows.append((place, row))
        session.add_all(row for _, row in rows)
        session.flush()
        for place, row in rows:
            place.head_id, place.updated = row.id, moment
        search.add(session, [search.IndexedTurn(row.id, row.person_id, row.text) for _, row in rows])


def _speaker(session: Session, dialogue: Dialogue, turn: DialogueTurn, moment: datetime) -> PersonRow:
    """Return the person that a speaker is, made and consenting where they are new."""
    known: dict[str, PersonRow] = session.info.setdefault("imported speakers", {})
    key = _person_key(dialogue, turn)
    if key not in known:
        is_new = people.find(session, key) is None
        known[key] = people.find_or_add(session, key, moment)
        if is_new:
            session.add(ConsentRow(person_id=known[key].id, is_granted=True, created=moment))
    return known[key]


def is_imported(person: str) -> bool:
    """Tell whether a person is the speaker of an import."""
    return person.startswith(IMPORTED)


def _person_key(dialogue: Dialogue, turn: DialogueTurn) -> str:
    return storable(f"{IMPORTED}{dialogue.source}/{turn.speaker}")[:_LONGEST_KEY]


def _role(dialogue: Dialogue, turn: DialogueTurn) -> str:
    return "person" if dialogue.responders is None or turn.speaker in dialogue.responders else "other"
