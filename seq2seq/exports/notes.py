"""What reading a chat export found: its messages, its people, and what was skipped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from seq2seq.dialogues import fold_blanks
from seq2seq.errors import CorpusError
from seq2seq.lines import BadLines

# Why a message is not learned from: the reasons of every format.
SERVICE = "notices of the messenger (joined, called, pinned ...)"
NO_TEXT = "no text (photo, voice, sticker ...)"
FORWARDED = "forwarded: somebody else's words"
DELETED = "deleted messages"
BOT = "written by a bot"
ODD = "entries that are no messages"
PREAMBLE = "lines before the first message"
CUT_OFF = "the rest of overlong messages"


_MAX_NAME = 200


class ChatMessage(NamedTuple):
    """One message of a chat. ``time_s`` counts seconds since 1970; ``id`` is empty where the export has none."""

    chat: str
    id: str
    speaker: str
    text: str
    time_s: float


@dataclass
class ChatNotes(BadLines):
    """How chats are to be read, and what was found; for files of every format.

    Attributes:
        silence_hours: the silence that parts two dialogues; None infers it, chat by chat.
        expected: the only chat format to accept, such as ``telegram``; None takes any.
        people: messages of each speaker, of those that were kept.
        skipped: messages that were not kept, by reason.
        formats: what was read, in order: ``Telegram chat``.
        remarks: what was inferred, such as the order of dates.
        silences: chats by the hours of silence that cut them.
        first_s, last_s: time of the oldest and the newest message kept.
        read_bytes: how far the file was read.
    """

    silence_hours: float | None = None
    expected: str | None = None
    people: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    formats: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    silences: Counter[float] = field(default_factory=Counter)
    first_s: float | None = None
    last_s: float | None = None
    read_bytes: int = 0

    @classmethod
    def of(cls, bad: BadLines) -> ChatNotes:
        """Return ``bad`` if it takes notes, and else new notes that nobody asked for."""
        return bad if isinstance(bad, cls) else cls(bad.skip)

    @property
    def messages(self) -> int:
        """Return how many messages were kept."""
        return self.people.total()

    def keep(self, message: ChatMessage) -> None:
        """Count a message that is kept."""
        self.people[message.speaker] += 1
        if self.first_s is None or self.last_s is None:
            self.first_s = self.last_s = message.time_s
        elif message.time_s < self.first_s:
            self.first_s = message.time_s
        elif message.time_s > self.last_s:
            self.last_s = message.time_s

    def add(self, other: ChatNotes) -> None:
        """Take in what was found in another file."""
        self.count += other.count
        self.first = self.first or other.first
        for mine, theirs in ((self.people, other.people), (self.skipped, other.skipped)):
            mine.update(theirs)
        self.silences.update(other.silences)
        self.formats += [what for what in other.formats if what not in self.formats]
        self.remarks += other.remarks
        times = [time for time in (self.first_s, self.last_s, other.first_s, other.last_s) if time is not None]
        if times:
            self.first_s, self.last_s = min(times), max(times)

    def read_as(self, file_format: str, what: str) -> None:
        """Note that a chat of a format begins.

        Raises:
            CorpusError: another format is expected.
        """
        if self.expected not in (None, file_format):
            raise CorpusError(f"this is a {what}, not one of {self.expected}. Leave --format out to have it read")
        if what not in self.formats:
            self.formats.append(what)


class NotAChatError(CorpusError):
    """A file is of no chat format; in an archive it is left out, by itself it is an error."""


class People:
    """One speaker's name for each account: two of one name are told apart, and so are deleted accounts."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def name(self, account: str, shown: str | None) -> str:
        """Return what the account ``account`` is called, ``shown`` if that is free; an account keeps its name."""
        known = self._names.get(account)
        if known is None:
            known = fold_blanks(shown or "")[:_MAX_NAME] or f"deleted account {account}".strip()
            if self._taken.setdefault(known, account) != account:
                known = f"{known} ({account})"
            self._names[account] = known
        return known

    def known(self, account: str) -> str | None:
        """Return what an account is called, if it has been seen."""
        return self._names.get(account)


def listed(names: Sequence[str], most: int = 12, most_chars: int = 80) -> str:
    """Join the first ``most`` names with commas, each cut to ``most_chars``."""
    shown = [name if len(name) <= most_chars else name[: most_chars - 1] + "…" for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most:,} more" if len(names) > most else "")
