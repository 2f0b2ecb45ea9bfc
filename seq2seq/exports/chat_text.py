"""Chat exports in text, a date in front of each message: WhatsApp's in any locale, and Signal's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import IO

from seq2seq.dialogues import Dialogue, fold_blanks
from seq2seq.exports.notes import CUT_OFF, NO_TEXT, PREAMBLE, SERVICE, ChatMessage, ChatNotes, NotAChatError, listed
from seq2seq.exports.notices import objection, without_attachments
from seq2seq.exports.sessions import dialogues_of
from seq2seq.exports.text_dates import DateReader, DateSurvey, Shape, find_head
from seq2seq.lines import BadLines, numbered_lines

MAX_MESSAGE_CHARS = 65_536  # WhatsApp's own limit
_SNIFFED_LINES = 50
_SNIFFED_BYTES = 2**16
_MAX_NAME = 100
_MAX_NAMES = 10_000
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]")
_QUOTES = frozenset('"“”„«»‘’「」')
_SIGNAL_QUOTE = re.compile(r"^> ?.*\n?", re.MULTILINE)
_SIGNAL_ATTACHMENT = re.compile(r"!?\[[^\]\n]*\]\(\.?/?media/[^)\n]*\)")


def is_chat_text(stream: IO[bytes]) -> bool:
    """Tell whether a text begins as a chat export does; leaves the stream at its start."""
    head = stream.read(_SNIFFED_BYTES).decode("utf-8", "ignore")
    stream.seek(0)
    return any(find_head(line) is not None for line in head.splitlines()[:_SNIFFED_LINES])


def read_chat_text(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read a WhatsApp or Signal export: once to learn how it writes dates and who takes part, once for its text.

    Raises:
        NotAChatError: no line begins with a date that can be read.
        CorpusError: a line is not UTF-8 or too long, unless bad lines are skipped.
    """
    notes = ChatNotes.of(bad)
    survey, senders = DateSurvey(), Counter[str]()
    first_line = ""
    for _, line in numbered_lines(stream, name, BadLines(skip=True)):
        first_line = first_line or line
        head = find_head(line)
        if head is not None:
            survey.add(head)
            sender, colon, _ = line[head.end :].partition(": ")
            if colon and len(sender) <= _MAX_NAME and (len(senders) < _MAX_NAMES or sender in senders):
                senders[sender] += 1
    dates = survey.reader()
    if dates is None:
        raise NotAChatError(
            f"{name}: no line begins with a date and time, as WhatsApp's and Signal's exports do; "
            f"it begins with {listed([first_line])!r}"
        )
    is_signal = _is_signal(dates.shape)
    source = "signal" if is_signal else "whatsapp"
    notes.read_as(source, "Signal chat" if is_signal else "WhatsApp chat")
    notes.remarks.append(f"{name}: {dates.described()}")
    stream.seek(0)
    return dialogues_of(_messages(stream, name, bad, notes, dates, senders), source, notes)


def _messages(
    stream: IO[bytes], name: str, bad: BadLines, notes: ChatNotes, dates: DateReader, senders: Counter[str]
) -> Iterator[ChatMessage]:
    """Yield the messages that people typed; note the rest."""
    is_signal = _is_signal(dates.shape)
    time_s: float | None = None
    lines: list[str] = []
    size = 0
    for _, line in numbered_lines(stream, name, bad, keep_blank=True):
        head = find_head(line)
        begins_s = dates.time_s(head) if head is not None else None
        if head is not None and begins_s is not None:
            if time_s is not None:
                message = _message(time_s, "\n".join(lines), notes, senders, is_signal)
                if message is not None:
                    yield message
            content = line[head.end : head.end + MAX_MESSAGE_CHARS]
            time_s, lines, size = begins_s, [content], len(content)
        elif time_s is None:
            notes.skipped[PREAMBLE] += bool(line.strip())
        elif size + len(line) <= MAX_MESSAGE_CHARS:
            lines.append(line)
            size += len(line) + 1
        elif size <= MAX_MESSAGE_CHARS:
            notes.skipped[CUT_OFF] += 1
            size = MAX_MESSAGE_CHARS + 1
    if time_s is not None:
        message = _message(time_s, "\n".join(lines), notes, senders, is_signal)
        if message is not None:
            yield message


def _message(
    time_s: float, content: str, notes: ChatNotes, senders: Counter[str], is_signal: bool
) -> ChatMessage | None:
    """Return a message that somebody typed; note any other."""
    sender, text = _parted(content, senders)
    if sender is None:
        notes.skipped[SERVICE] += 1
        return None
    text = _SIGNAL_ATTACHMENT.sub("", _SIGNAL_QUOTE.sub("", text)) if is_signal else without_attachments(text)
    reason = objection(text) if text and not text.isspace() else NO_TEXT
    if reason is not None:
        notes.skipped[reason] += 1
        return None
    message = ChatMessage("", "", sender, text, time_s)
    notes.keep(message)
    return message


def _parted(content: str, senders: Counter[str]) -> tuple[str | None, str]:
    """Part the sender from the text; the sender is None in front of what the messenger itself has to say."""
    sender, colon, text = content.partition(": ")
    if not colon or "\n" in sender:
        sender, colon, text = content.partition(":")
        if not colon or (sender not in senders and not text.startswith("\n")):
            return None, content
        if text == ".":  # what is left of a message that was to be seen once
            text = ""
    if "\n" in sender or len(sender) > _MAX_NAME:
        return None, content
    if senders[sender] < 2 and not _QUOTES.isdisjoint(sender):  # ... changed the subject to "A: B"
        return None, content
    return _shown_name(sender) or None, text


@lru_cache(1024)
def _shown_name(sender: str) -> str:
    return fold_blanks(_INVISIBLE.sub("", sender)).removeprefix("~").strip()


def _is_signal(shape: Shape) -> bool:
    """Tell Signal's dates, ``[2019-12-24, 12:23]``, from WhatsApp's, which have seconds inside brackets."""
    return (shape.style, shape.separator, shape.year_at, shape.has_seconds) == ("]", "-", 0, False)
