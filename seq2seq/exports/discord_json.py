"""Messages of DiscordChatExporter's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from seq2seq.exports.notes import BOT, NO_TEXT, ODD, SERVICE, ChatMessage, ChatNotes, People

SOURCE = "discord"

_MARKUP = re.compile(
    r"<(?:a?:(?P<emoji>\w{1,64}):\d{1,20}|@!?(?P<user>\d{1,20})|@&\d{1,20}|#\d{1,20}|t:-?\d{1,20}(?::\w)?)>"
)


def is_message(value: Mapping[str, Any]) -> bool:
    """Tell whether an entry of ``messages`` is one of Discord's."""
    return "author" in value and "timestamp" in value


def read_messages(
    values: Iterable[Any], header: Mapping[str, Any], people: People, notes: ChatNotes
) -> Iterator[ChatMessage]:
    """Turn the entries of a channel into messages, and note the rest."""
    channel = header.get("channel")
    chat_id = str(channel.get("id", "")) if isinstance(channel, dict) else ""
    for value in values:
        author = value.get("author") if isinstance(value, dict) else None
        if not isinstance(author, dict) or not isinstance(value.get("content"), str):
            notes.skipped[ODD] += 1
            continue
        shown = author.get("nickname") or author.get("name")
        name = people.name(str(author.get("id") or shown), shown if isinstance(shown, str) else None)
        time_s = _time_s(value.get("timestamp"))
        if author.get("isBot"):
            notes.skipped[BOT] += 1
        elif value.get("type") not in ("Default", "Reply"):
            notes.skipped[SERVICE] += 1
        elif time_s is None:
            notes.skipped[ODD] += 1
        elif not (text := _plain(value, people)).strip():
            notes.skipped[NO_TEXT] += 1
        else:
            message = ChatMessage(chat_id, str(value.get("id") or ""), name, text, time_s)
            notes.keep(message)
            yield message


def _plain(value: Mapping[str, Any], people: People) -> str:
    """Write mentions and custom emoji as people see them: ``@Alice``, ``:tired:``; drop other markup."""
    text: str = value["content"]
    if "<" not in text:
        return text
    mentioned = value.get("mentions")
    names = {
        str(user.get("id")): user.get("nickname") or user.get("name")
        for user in (mentioned if isinstance(mentioned, list) else ())
        if isinstance(user, dict)
    }

    def shown(markup: re.Match[str]) -> str:
        if markup["emoji"]:
            return f":{markup['emoji']}:"
        user = markup["user"]
        name = user and (names.get(user) or people.known(user))
        return f"@{name}" if name else ""

    return _MARKUP.sub(shown, text)


def _time_s(timestamp: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(timestamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
