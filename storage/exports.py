"""Conversations as files: the corpus format, JSON, CSV and Markdown. Written as they are read, one at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from storage.records import Conversation, Feedback, Turn

Talk = tuple[Conversation, list[Turn], list[Turn], Mapping[int, Feedback]]
"""A conversation, all its turns, those of the branch that is talked in, and what people made of these and others."""

_NO_FEEDBACK = Feedback()


def as_jsonl(talks: Iterable[Talk]) -> Iterator[str]:
    """Yield a line of the corpus format for each conversation: the branch that is talked in, if it has two turns.

    The speakers are ``person`` and ``bot``, or people's keys where there are several.
    """
    for conversation, _, branch, _ in talks:
        if len(branch) > 1:
            people = {turn.person for turn in branch}
            turns = [
                {"speaker": "bot" if turn.speaker == "bot" else turn.person if len(people) > 1 else "person",
                 "text": turn.text}
                for turn in branch
            ]  # fmt: skip
            yield _json({"id": conversation.key, "source": "backchat", "turns": turns}) + "\n"


def as_json(talks: Iterable[Talk]) -> Iterator[str]:
    """Yield one JSON list with all that is known of each conversation, all branches."""
    separator = "[\n"
    for conversation, turns, _, feedback in talks:
        facts = {
            "conversation": conversation.key,
            "title": conversation.title,
            "person": conversation.person,
            "created": conversation.created.isoformat(),
            "updated": conversation.updated.isoformat(),
            "turns": [turn_facts(turn, feedback.get(turn.id, _NO_FEEDBACK)) for turn in turns],
        }
        yield separator + _json(facts)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def as_csv(talks: Iterable[Talk]) -> Iterator[str]:
    """Yield a row for each turn, all branches, below a row of names."""
    names = (
        "conversation",
        "turn",
        "parent",
        "created",
        "speaker",
        "person",
        "text",
        "model",
        "seed",
        "rating",
        "taught",
    )
    yield _csv(names)
    for conversation, turns, _, feedback in talks:
        for turn in turns:
            made_of_it = feedback.get(turn.id, _NO_FEEDBACK)
            yield _csv(
                (
                    conversation.key,
                    turn.id,
                    turn.parent_id,
                    turn.created.isoformat(),
                    turn.speaker,
                    turn.person,
                    turn.text,
                    turn.model_id,
                    turn.reply.seed if turn.reply else None,
                    sum(made_of_it.ratings.values()) if made_of_it.ratings else None,
                    "\n".join(made_of_it.taught.values()) or None,
                )
            )


def as_markdown(talks: Iterable[Talk]) -> Iterator[str]:
    """Yield a chapter for each conversation: the branch that is talked in, to be read."""
    for conversation, _, branch, _ in talks:
        yield f"# {_escaped(conversation.title or conversation.key)}\n\n"
        yield f"{conversation.created:%Y-%m-%d %H:%M} UTC, {_escaped(conversation.person)}\n\n"
        for turn in branch:
            lines = turn.text.splitlines() or [""]
            who = "Bot" if turn.speaker == "bot" else "You" if turn.person == conversation.person else turn.person
            yield f"**{_escaped(who)}:** " + "  \n".join(_escaped(line) for line in lines) + "\n\n"


EXPORT_FORMATS: Mapping[str, Callable[[Iterable[Talk]], Iterator[str]]] = {
    "jsonl": as_jsonl,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}


def turn_facts(turn: Turn, feedback: Feedback = _NO_FEEDBACK) -> dict[str, Any]:
    """Return all that is known of a turn, in JSON's types; what is not there is left out."""
    facts: dict[str, Any] = {
        "id": turn.id,
        "parent": turn.parent_id,
        "speaker": turn.speaker,
        "person": turn.person,
        "text": turn.text,
        "created": turn.created.isoformat(),
        "external_id": turn.external_id,
        "ratings": dict(feedback.ratings) or None,
        "taught": dict(feedback.taught) or None,
    }
    if turn.reply is not None:
        facts["reply"] = {
            "model": turn.reply.model_id,
            "strategy": turn.reply.strategy,
            "seed": turn.reply.seed,
            "tokens": turn.reply.tokens,
            "latency_ms": turn.reply.latency_ms,
            "is_cut": turn.reply.is_cut,
            "settings": dict(turn.reply.settings),
            "candidates": [dict(candidate) for candidate in turn.reply.candidates],
        }
    return {name: value for name, value in facts.items() if value is not None or name == "parent"}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _csv(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in r"\`*_{}[]<>()#+-.!|~&" else character for character in text)
