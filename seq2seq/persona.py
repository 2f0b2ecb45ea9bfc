"""Who the bot is: facts that it answers the same way each time, from one file that its owner can change.

A model of this size has no self: asked twice for its name, it says two names. So questions about the bot itself are
recognised by their wording and answered from the file; everything else is the model's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seq2seq.errors import PersonaError

DEFAULT_PERSONA = Path(__file__).with_name("persona.toml")

_CLAUSE = re.compile(r"[.,!?;:。，！？；：…\n]+")
_BARE = re.compile(r"[^\w\s]+|_")
_SHORT_FORMS = (
    (re.compile(r"\b(what|who|where|how|when)s\b"), r"\1 is"),  # the apostrophe is gone by then
    (re.compile(r"\b(what|who|where|how)re\b"), r"\1 are"),
    (re.compile(r"\byoure\b"), "you are"),
    (re.compile(r"\bur\b"), "your"),
    (re.compile(r"\bu\b"), "you"),
    (re.compile(r"\br\b"), "are"),
    (re.compile(r"\b(what|where|who) do ya\b"), r"\1 do you"),
    (re.compile(r"\bya\b"), "you"),
    (re.compile(r"\b(favou?rite|fave|fav)\b"), "favorite"),
    (re.compile(r"\bcolour\b"), "color"),
)
_TRAILING = re.compile(
    r"(?:\s+(?:again|then|really|actually|exactly|anyway|though|btw|please|pls|plz|now|today|by the way|if i may ask|"
    r"if you do not mind))+$"
)
_TRAILING_CHINESE = re.compile(r"[呢啊呀吗嘛吧了的哦哈]+$")


@dataclass(frozen=True)
class Fact:
    """Something about the bot. ``asked`` are the ends of questions for it; ``answers`` all say the same."""

    name: str
    asked: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Persona:
    """Who the bot is.

    Attributes:
        facts: the longest wording answers; where two facts have the same, the first.
        avoid: phrases that would contradict the facts; the model never says them.
        lines: sentences in front of every context, for models that were trained on dialogues with personas.
    """

    facts: tuple[Fact, ...] = ()
    avoid: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    def fact_asked(self, message: str) -> Fact | None:
        """Return the fact that the last question of a message asks for, or None.

        A clause asks for a fact where it ends in one of its wordings; case, punctuation, short forms ("what's",
        "ur") and words such as "again" at the end make no difference.
        """
        for clause in reversed(_clauses(message)):
            for start in _starts(clause):
                if fact := self._endings.get(clause[start:]):
                    return fact
        return None

    @cached_property
    def _endings(self) -> dict[str, Fact]:
        endings: dict[str, Fact] = {}
        for fact in self.facts:
            for asked in fact.asked:
                endings.setdefault(_clauses(asked)[-1], fact)
        return endings


NOBODY = Persona()


def load_persona(path: Path = DEFAULT_PERSONA) -> Persona:
    """Read a persona from a TOML file.

    Raises:
        PersonaError: it cannot be read, or does not have the form that ``docs/persona.md`` describes.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PersonaError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PersonaError(f"{path}: not valid TOML ({error})") from error
    _only(path, "the file", content, ("facts", "avoid", "lines"))
    facts = content.get("facts", [])
    if not isinstance(facts, list) or not all(isinstance(fact, dict) for fact in facts):
        raise PersonaError(f"{path}: every fact begins with a line [[facts]]")
    return Persona(
        facts=tuple(_fact(path, number, fact) for number, fact in enumerate(facts, 1)),
        avoid=_texts(path, "avoid", content.get("avoid", [])),
        lines=_texts(path, "lines", content.get("lines", [])),
    )


def _fact(path: Path, number: int, fact: Mapping[str, Any]) -> Fact:
    where = f"fact {number}"
    _only(path, where, fact, ("name", "asked", "answers"))
    name = fact.get("name")
    if not isinstance(name, str) or not name.strip():
        raise PersonaError(f"{path}: {where} has no name")
    asked, answers = (_texts(path, f"{name}.{key}", fact.get(key, [])) for key in ("asked", "answers"))
    if not asked or not answers:
        raise PersonaError(f"{path}: {name} needs at least one line in each of `asked` and `answers`")
    return Fact(name, asked, answers)


def _texts(path: Path, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and _clauses(text) for text in value):
        raise PersonaError(f"{path}: {name} must be a list of texts with words in them")
    return tuple(" ".join(text.split()) for text in value)


def _only(path: Path, where: str, found: Iterable[str], known: Sequence[str]) -> None:
    for key in found:
        if key not in known:
            raise PersonaError(f"{path}: {where} has no {key!r}; possible are {', '.join(known)}")


def _clauses(text: str) -> list[str]:
    """Return the clauses of a text that have words: lower case, short forms written out, no words at the end that
    change nothing."""
    clauses = []
    for piece in _CLAUSE.split(text.lower()):
        clause = " ".join(_BARE.sub("", piece).split())
        for short, full in _SHORT_FORMS:
            clause = short.sub(full, clause)
        clause = _TRAILING_CHINESE.sub("", _TRAILING.sub("", clause))
        if clause:
            clauses.append(clause)
    return clauses


def _starts(clause: str) -> list[int]:
    """Return where words begin; of scripts without blanks, every character may begin one."""
    return [n for n in range(len(clause)) if n == 0 or clause[n - 1] == " " or not clause[n].isascii()]
