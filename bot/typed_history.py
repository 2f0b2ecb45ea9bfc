"""What was typed before, over sessions, in a private file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from prompt_toolkit.history import FileHistory

from bot.errors import BotError

_QUOTES = '"""'
_SAYING = ("/edit ", "/teach ")  # commands whose argument becomes part of a conversation


class TypedHistory(FileHistory):
    """Lines typed before, newest first; made readable by its owner alone.

    A line can be brought back as soon as it was sent. It reaches the file only by ``keep``: whether it may be kept
    is known when it is answered, for a line before it may have switched recording off.

    Raises:
        BotError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            path.chmod(0o600)
        self.path = path
        super().__init__(path)

    def store_string(self, string: str) -> None:
        """Do nothing yet; see ``keep``."""

    def keep(self, line: str) -> None:
        """Write a line to the file.

        Raises:
            BotError: it cannot be written.
        """
        with _told(self.path):
            super().store_string(line)


def forget_typed(path: Path, texts: Collection[str] = (), *, before: datetime | None = None) -> None:
    """Take lines out of a history file: those that said one of ``texts``, and those typed ``before`` then.

    Raises:
        BotError: the file cannot be written.
    """
    if not path.exists():
        return
    with _told(path):
        entries = path.read_text(encoding="utf-8", errors="replace").split("\n# ")
        kept = [entry for entry in entries if not _is_doomed(entry, set(texts), before)]
        if kept == entries:
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write("\n# ".join(kept).encode())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def said_by(line: str) -> str:
    """Return what a typed line said, without what only sent it: triple quotes, a doubled slash, a command."""
    text = without_quotes(line)
    if text.startswith("//"):
        return text[1:]
    return next((text.removeprefix(command) for command in _SAYING if text.startswith(command)), text).strip()


def without_quotes(text: str) -> str:
    """Take triple quotes off that only held several lines together."""
    stripped = text.strip()
    if len(stripped) >= 2 * len(_QUOTES) and stripped.startswith(_QUOTES) and stripped.endswith(_QUOTES):
        return stripped[len(_QUOTES) : -len(_QUOTES)].strip("\n")
    return text


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell of a file that cannot be written in one line."""
    try:
        yield
    except OSError as error:
        raise BotError(f"{path}: cannot be written ({error.strerror}); what is typed is not kept") from error


def _is_doomed(entry: str, texts: set[str], before: datetime | None) -> bool:
    """Tell of an entry, as the file has it behind its ``#``: the moment, then each line with a plus before it."""
    head, *lines = entry.split("\n")
    typed = "\n".join(line[1:] for line in lines if line.startswith("+"))
    if not typed:
        return False
    if said_by(typed) in texts:
        return True
    if before is None:
        return False
    try:
        return datetime.fromisoformat(head.strip("#\n ")).astimezone() < before
    except ValueError:  # typed nobody knows when
        return True
