"""What every corpus is made of: dialogues, their turns, and the exchanges cut out of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

UNNAMED_SOURCE = "text"  # the source of dialogues whose file names none
ANYONE = ""  # the speaker of persona lines that belong to whoever replies


@dataclass(frozen=True)
class DialogueTurn:
    """What one speaker said before the other answered."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Dialogue:
    """One conversation, oldest turn first.

    ``personas`` maps a speaker to sentences about that speaker. ``responders`` are the speakers whose turns may
    be learned as responses, None for all of them; what the others say is context only.
    """

    id: str
    source: str
    turns: tuple[DialogueTurn, ...]
    personas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    responders: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """Return the name that is the same in every run: ``source/id``."""
        return f"{self.source}/{self.id}"

    def persona_of(self, speaker: str) -> tuple[str, ...]:
        """Return the sentences known about ``speaker``; none where nothing is known."""
        return self.personas.get(speaker) or self.personas.get(ANYONE, ())

    def responses(self) -> list[int]:
        """Return the numbers of the turns that may be learned as responses: all but the first, of responders."""
        return [
            number
            for number in range(1, len(self.turns))
            if self.responders is None or self.turns[number].speaker in self.responders
        ]


class Exchange(Protocol):
    """A response and what led to it. The memory's own records have this shape too."""

    @property
    def context(self) -> Sequence[str]:
        """Return the turns before the response, oldest first."""

    @property
    def response(self) -> str:
        """Return what was said next."""


@dataclass(frozen=True)
class DialogueExchange:
    """An exchange cut out of a dialogue."""

    context: tuple[str, ...]
    response: str
    persona: tuple[str, ...] = ()


def make_dialogue(
    messages: Iterable[tuple[str, str]],
    *,
    source: str = UNNAMED_SOURCE,
    dialogue_id: str | None = None,
    personas: Mapping[str, Sequence[str]] | None = None,
    responders: frozenset[str] | None = None,
) -> Dialogue | None:
    """Build a dialogue of ``(speaker, text)`` messages, or None where fewer than two turns are left.

    White space is folded to single blanks, empty messages are left out, and what one speaker wrote in a row
    is one turn. A dialogue without an id gets one from its content, so that it keeps it when its file grows.
    """
    turns: list[DialogueTurn] = []
    for speaker, message in messages:
        text = fold_blanks(message)
        if not text:
            continue
        if turns and turns[-1].speaker == speaker:
            turns[-1] = DialogueTurn(speaker, f"{turns[-1].text} {text}")
        else:
            turns.append(DialogueTurn(speaker, text))
    if len(turns) < 2:
        return None
    lines = {
        speaker: tuple(folded for sentence in sentences if (folded := fold_blanks(sentence)))
        for speaker, sentences in (personas or {}).items()
    }
    return Dialogue(dialogue_id or _content_id(turns), source, tuple(turns), lines, responders)


def fold_blanks(text: str) -> str:
    """Fold every run of white space to one blank, and trim both ends."""
    return " ".join(text.split())


def exchanges(dialogue: Dialogue, context_turns: int | None = None) -> Iterator[DialogueExchange]:
    """Yield every turn that may be a response, with at most ``context_turns`` turns before it."""
    texts = tuple(turn.text for turn in dialogue.turns)
    for number in dialogue.responses():
        first = 0 if context_turns is None else max(0, number - context_turns)
        speaker = dialogue.turns[number].speaker
        yield DialogueExchange(texts[first:number], texts[number], dialogue.persona_of(speaker))


def is_held_out(dialogue_key: str, share: float) -> bool:
    """Tell whether the dialogue of this key belongs to the ``share`` in [0, 1] that is never trained on.

    The answer depends on the key alone, so a dialogue stays held out whatever else a run reads; a larger
    share holds out the same dialogues and more.
    """
    draw = int.from_bytes(hashlib.blake2b(dialogue_key.encode("utf-8", "replace"), digest_size=8).digest())
    return draw < share * 2**64


def _content_id(turns: Iterable[DialogueTurn]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for turn in turns:
        digest.update(turn.text.encode("utf-8", "replace") + b"\n")
    return digest.hexdigest()
