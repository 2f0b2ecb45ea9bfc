"""Messages of Telegram Desktop's ``result.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from seq2seq.exports.notes import BOT, FORWARDED, NO_TEXT, ODD, SERVICE, ChatMessage, ChatNotes, People

SOURCE = "telegram"


def is_message(value: Mapping[str, Any]) -> bool:
    """Tell whether an entry of ``messages`` is one of Telegram's."""
    return "date_unixtime" in value or ("date" in value and "type" in value)


def read_messages(
    values: Iterable[Any], header: Mapping[str, Any], people: People, notes: ChatNotes
) -> Iterator[ChatMessage]:
    """Turn the entries of a chat into messages, edited ones as they read last, and note the rest.

    A reply stands where it was sent. What was forwarded, or sent by way of an inline bot, is not the sender's.
    """
    chat_id = _text_of(header.get("id", header.get("name", "")))
    is_with_bot = header.get("type") == "bot_chat"
    for value in values:
        reason = _objection(value)
        if reason is not None or is_with_bot:
            notes.skipped[reason or BOT] += 1
            continue
        text, time_s = _text_of(value.get("text")), _time_s(value)
        if time_s is None:
            notes.skipped[ODD] += 1
        elif not text or text.isspace():
            notes.skipped[NO_TEXT] += 1
        else:
            shown = value.get("from")
            account = str(value.get("from_id") or shown or "")
            name = people.name(account, shown if isinstance(shown, str) else None)
            message = ChatMessage(chat_id, _text_of(value.get("id")), name, text, time_s)
            notes.keep(message)
            yield message


def _objection(value: Any) -> str | None:
    if not isinstance(value, dict):
        return ODD
    kind = value.get("type")
    if kind == "message":
        if value.get("forwarded_from") is not None or "forwarded_from_id" in value:
            return FORWARDED
        return BOT if "via_bot" in value else None
    return SERVICE if kind == "service" else ODD


def _text_of(text: Any) -> str:
    """Return plain text of a string, or of a list of strings and of spans with a ``text``; "" of anything else."""
    if isinstance(text, str):
        return text
    if isinstance(text, int):
        return str(text)
    if isinstance(text, list):
        spans = (span.get("text") if isinstance(span, dict) else span for span in text)
        return "".join(span for span in spans if isinstance(span, str))
    return ""


def _time_s(value: Mapping[str, Any]) -> float | None:
    """Return seconds since 1970; an old export has only local time, which does as well for silences."""
    try:
        if "date_unixtime" in value:
            return float(int(value["date_unixtime"]))
        return datetime.fromisoformat(value["date"]).replace(tzinfo=UTC).timestamp()
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
