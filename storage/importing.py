"""Dialogues from elsewhere, such as a chat export, brought into the memory.

Each speaker of an import is a person of their own, ``import:SOURCE/NAME``, searched, exported and forgotten
as any other; who imports a chat has it learned from, so these people count as consenting until that is revoked. Turns
of speakers who are not to be learned are marked ``other``: context, and never a response.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import bindparam, insert, select, text, update
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


class _KnownTurn(NamedTuple):
    id: int
    person: str
    speaker: str
    text: str


class Imported(NamedTuple):
    """What an import did: how many dialogues are new or have changed, and whether words were erased for that."""

    changed: int
    has_erased: bool


class _Addition(NamedTuple):
    """Turns to append to a conversation, behind the turn ``parent_id``."""

    conversation_id: int
    parent_id: int | None
    dialogue: Dialogue
    turns: Sequence[DialogueTurn]


def import_dialogues(session: Session, dialogues: Sequence[Dialogue], moment: datetime) -> Imported:
    """Store dialogues, each under its key.

    One that is there already is left alone; one that has grown gets its new turns. Of one whose words have changed
    the turns before that stay, and keep their numbers; the others are erased, and stored anew.
    """
    by_key = {storable(dialogue.key)[:_LONGEST_KEY]: dialogue for dialogue in dialogues}
    known = _known_turns(session, by_key)
    changed, has_erased = 0, False
    new: list[tuple[str, Dialogue]] = []
    growing: list[_Addition] = []
    for key, dialogue in by_key.items():
        if key not in known:
            changed += 1
            new.append((key, dialogue))
            continue
        conversation_id, before = known[key]
        wanted = [(_person_key(dialogue, turn), storable(turn.text)) for turn in dialogue.turns]
        same = _common_length(wanted, [(turn.person, turn.text) for turn in before])
        roles = _mend_roles(session, dialogue, before[:same])
        if same == len(wanted) == len(before):
            changed += roles
            continue
        changed += 1
        if same < len(before):
            erasing.delete_turns(session, conversation_id, {turn.id for turn in before[same:]})
            has_erased = True
            if same == 0:  # the conversation went with its turns
                new.append((key, dialogue))
                continue
        growing.append(_Addition(conversation_id, before[same - 1].id, dialogue, dialogue.turns[same:]))
    growing += _new_conversations(session, new, moment)
    _append(session, growing, moment)
    return Imported(changed, has_erased)


def _known_turns(session: Session, keys: Collection[str]) -> dict[str, tuple[int, list[_KnownTurn]]]:
    """Return the conversations of these keys that are there, with their turns."""
    places = select(ConversationRow.id, ConversationRow.key).where(ConversationRow.key.in_(keys)).with_for_update()
    known: dict[int, list[_KnownTurn]] = {}
    names = {place.id: place.key for place in session.execute(places)}
    columns = select(TurnRow.conversation_id, TurnRow.id, PersonRow.key, TurnRow.speaker, TurnRow.text)
    turns = columns.join(PersonRow, PersonRow.id == TurnRow.person_id).where(TurnRow.conversation_id.in_(names))
    for number, turn_id, person, speaker, words in session.execute(turns.order_by(TurnRow.id)):
        known.setdefault(number, []).append(_KnownTurn(turn_id, person, speaker, words))
    return {key: (number, known.get(number, [])) for number, key in names.items()}


def _mend_roles(session: Session, dialogue: Dialogue, turns: Sequence[_KnownTurn]) -> bool:
    """Mark turns as the dialogue's responders say, where they were imported with others; tell whether any was."""
    numbers: dict[str, list[int]] = {}
    for known, turn in zip(turns, dialogue.turns, strict=False):
        if known.speaker != (role := _role(dialogue, turn)):
            numbers.setdefault(role, []).append(known.id)
    for role, ids in numbers.items():
        session.execute(update(TurnRow).where(TurnRow.id.in_(ids)).values(speaker=role))
    return bool(numbers)


def _new_conversations(session: Session, new: Sequence[tuple[str, Dialogue]], moment: datetime) -> list[_Addition]:
    rows = [
        {
            "key": key,
            "person_id": _speaker(session, dialogue, dialogue.turns[0], moment),
            "created": moment,
            "updated": moment,
        }
        for key, dialogue in new
    ]
    if not rows:
        return []
    made = insert(ConversationRow).returning(ConversationRow.id, sort_by_parameter_order=True)
    numbers = session.scalars(made, rows).all()
    return [
        _Addition(number, None, dialogue, dialogue.turns) for number, (_, dialogue) in zip(numbers, new, strict=True)
    ]


def _append(session: Session, additions: Sequence[_Addition], moment: datetime) -> None:
    """Append turns to all conversations at once: their numbers are drawn before, so that each can name the last."""
    numbers = _new_turn_ids(session, sum(len(addition.turns) for addition in additions))
    rows: list[dict[str, object]] = []
    indexed: list[search.IndexedTurn] = []
    heads: list[dict[str, object]] = []
    for addition in additions:
        parent_id = addition.parent_id
        for turn in addition.turns:
            number, words = next(numbers), storable(turn.text)
            person_id = _speaker(session, addition.dialogue, turn, moment)
            rows.append(
                {
                    "id": number,
                    "conversation_id": addition.conversation_id,
                    "parent_id": parent_id,
                    "person_id": person_id,
                    "speaker": _role(addition.dialogue, turn),
                    "text": words,
                    "created": moment,
                }
            )
            indexed.append(search.IndexedTurn(number, person_id, words))
            parent_id = number
        heads.append({"number": addition.conversation_id, "head_id": parent_id, "updated": moment})
    if not rows:
        return
    connection = session.connection()
    connection.execute(insert(TurnRow), rows)
    connection.execute(update(ConversationRow).where(ConversationRow.id == bindparam("number")), heads)
    search.add(session, indexed)


def _new_turn_ids(session: Session, count: int) -> Iterator[int]:
    """Return numbers that no turn has had, and that no other will get, in ascending order."""
    if session.get_bind().dialect.name == "sqlite":  # its writers wait for each other
        last = session.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'turns'")) or 0
        return iter(range(last + 1, last + count + 1))
    drawn = text("SELECT nextval('turns_id_seq') FROM generate_series(1, :count)")
    return iter(sorted(session.scalars(drawn, {"count": count})))


def _speaker(session: Session, dialogue: Dialogue, turn: DialogueTurn, moment: datetime) -> int:
    """Return the number of the person that a speaker is, made and consenting where they are new."""
    known: dict[str, int] = session.info.setdefault("imported speakers", {})
    key = _person_key(dialogue, turn)
    if key not in known:
        is_new = people.find(session, key) is None
        known[key] = people.find_or_add(session, key, moment).id
        if is_new:
            session.add(ConsentRow(person_id=known[key], is_granted=True, created=moment))
    return known[key]


def is_imported(person: str) -> bool:
    """Tell whether a person is the speaker of an import."""
    return person.startswith(IMPORTED)


def _person_key(dialogue: Dialogue, turn: DialogueTurn) -> str:
    return storable(f"{IMPORTED}{dialogue.source}/{turn.speaker}")[:_LONGEST_KEY]


def _common_length(some: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> int:
    """Return how many items two sequences begin with in common."""
    return next(
        (n for n, (one, other) in enumerate(zip(some, others, strict=False)) if one != other),
        min(len(some), len(others)),
    )


def _role(dialogue: Dialogue, turn: DialogueTurn) -> str:
    return "person" if dialogue.responders is None or turn.speaker in dialogue.responders else "other"
