"""Messages of the ``message_1.json`` files that Instagram and Messenger write, newest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seq2seq.exports.notes import NO_TEXT, ODD, SERVICE, ChatMessage, ChatNotes, People

SOURCE = "instagram"

# What the service itself writes as a message's content, in English exports; elsewhere ``type`` or a missing
# ``content`` tells.
_NOTICE = re.compile(r"(Liked a message|Reacted .{1,16} to (your|a) message|.{1,80} sent an attachment\.) ?")
_MAX_TIME_MS = 1e15  # the year 33658; what is later, infinite or no number is none


def is_message(value: Mapping[str, Any]) -> bool:
    """Tell whether an entry of ``messages`` is one of Instagram's."""
    return "sender_name" in value and "timestamp_ms" in value


def read_messages(
    values: Iterable[Any], header: Mapping[str, Any], people: People, notes: ChatNotes
) -> Iterator[ChatMessage]:
    """Turn the entries of a thread into messages, and note the rest. They have no ids."""
    taking_part = header.get("participants")
    entries = taking_part if isinstance(taking_part, list) else ()
    names = [person.get("name") for person in entries if isinstance(person, dict)]
    chat_id = "+".join(sorted(mended(name) for name in names if isinstance(name, str)))
    for value in values:
        sender = value.get("sender_name") if isinstance(value, dict) else None
        time_ms = value.get("timestamp_ms") if sender else None
        if not isinstance(sender, str) or not isinstance(time_ms, int | float) or not 0 <= time_ms < _MAX_TIME_MS:
            notes.skipped[ODD] += 1
            continue
        content = value.get("content")
        text = mended(content) if isinstance(content, str) else ""
        if (
            value.get("type", "Generic") not in ("Generic", "Share")
            or "call_duration" in value
            or value.get("is_unsent")
        ):
            notes.skipped[SERVICE] += 1
        elif not text.strip():
            notes.skipped[NO_TEXT] += 1
        elif _NOTICE.fullmatch(text):
            notes.skipped[SERVICE] += 1
        else:
            name = mended(sender)
            message = ChatMessage(chat_id, "", people.name(name, name), text, time_ms / 1000)
            notes.keep(message)
            yield message


def mended(text: str) -> str:
    """Undo what these exports do to text beyond ASCII: its UTF-8 bytes are written as if they were characters."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except ValueError:
        return text
