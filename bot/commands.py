"""What a person can command with a slash: one table, served by every frontend.

A command is given the talk and its arguments, and returns what to say. What only a screen can do (ending, clearing)
is told by the outcome.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from bot.dialogue import Answer
from bot.talk import Talk


@dataclass(frozen=True)
class Outcome:
    """What a command came to.

    Attributes:
        text: what is said about it.
        answer: a reply that it made.
        ends: whether the frontend shall end.
    """

    text: str = ""
    answer: Answer | None = None
    ends: bool = False


@dataclass(frozen=True)
class Command:
    """One command: ``/name arguments``, a line of help, and what runs."""

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Outcome]


def run_command(talk: Talk, line: str) -> Outcome:
    """Run a line that begins with a slash; an unknown command offers the nearest."""
    name, _, arguments = line.removeprefix("/").partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        near = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
        hint = f"Did you mean /{near[0]}?" if near else "/help shows all."
        return Outcome(f"There is no /{name}. {hint} To send a message that begins with a slash, type //.")
    return command.run(talk, arguments.strip())


def _help(talk: Talk, arguments: str) -> Outcome:
    rows = [(f"/{command.name} {command.arguments}".strip(), command.help) for command in COMMANDS.values()]
    width = max(len(usage) for usage, _ in rows)
    return Outcome("\n".join(f"{usage:<{width}}  {text}" for usage, text in rows))


def _new(talk: Talk, arguments: str) -> Outcome:
    talk.start_over()
    return Outcome("A new conversation.")


def _quit(talk: Talk, arguments: str) -> Outcome:
    return Outcome(ends=True)


COMMANDS = {
    command.name: command
    for command in (
        Command("help", "", "Show what can be commanded.", _help),
        Command("new", "", "Begin a new conversation.", _new),
        Command("quit", "", "Leave.", _quit),
    )
}
