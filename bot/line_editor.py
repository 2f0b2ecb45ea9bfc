"""What is typed: line editing with history, completion of commands, several lines, the person's own editor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth

from bot.commands import COMMANDS
from bot.talk import Talk

_PROMPT = "> "
_QUOTES = '"""'


def line_editor(talk: Talk, history_file: Path | None, *, has_colors: bool) -> Callable[[str], str]:
    """Return a function that asks for a message, given a draft to change.

    Enter sends; Alt-Enter, or an open triple quote, begins another line; Ctrl-G opens $EDITOR; Ctrl-R looks through
    what was typed before. The function raises EOFError and KeyboardInterrupt as ``input`` does.
    """
    history: History = InMemoryHistory() if history_file is None else FileHistory(str(make_private(history_file)))
    session: PromptSession[str] = PromptSession(
        history=history,
        completer=_CommandCompleter(talk),
        complete_while_typing=Condition(lambda: session.default_buffer.text.startswith("/")),
        key_bindings=_keys(),
        color_depth=None if has_colors else ColorDepth.DEPTH_1_BIT,
        multiline=True,
        prompt_continuation=lambda width, line, is_soft: "." * (width - 1) + " ",
    )

    def ask(draft: str = "") -> str:
        return without_quotes(session.prompt(FormattedText([("bold", _PROMPT)]), default=draft))

    return ask


def plain_prompt(draft: str = "") -> str:
    """Ask on a terminal that can do nothing."""
    if draft:
        print(draft)
    print(_PROMPT, end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def without_quotes(text: str) -> str:
    """Take triple quotes off that only held several lines together."""
    stripped = text.strip()
    if len(stripped) >= 2 * len(_QUOTES) and stripped.startswith(_QUOTES) and stripped.endswith(_QUOTES):
        return stripped[len(_QUOTES) : -len(_QUOTES)].strip("\n")
    return text


def make_private(path: Path) -> Path:
    """Make the file where it is missing, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return path


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.text.count(_QUOTES) % 2:
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-g")
    def open_editor(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor()

    return keys


class _CommandCompleter(Completer):
    """Completes the names of commands, and what their argument can be."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, blank, argument = text[1:].partition(" ")
        if not blank:
            for command in COMMANDS.values():
                if command.name.startswith(name.lower()):
                    yield Completion(command.name, -len(name), display_meta=command.help)
        elif name in COMMANDS:
            for value in COMMANDS[name].values(self._talk):
                if value.lower().startswith(argument.lower()):
                    yield Completion(value, -len(argument))
