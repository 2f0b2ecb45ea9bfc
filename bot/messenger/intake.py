"""What of the messenger's updates concerns the bot. The rest is acknowledged and never stored: bystanders too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import UpdateError
from storage.records import Incoming

Json = Mapping[str, Any]
ALLOWED_UPDATES = ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"]
# What a person sends that is no text. Everything else without a text tells of a chat, and needs no answer.
CONTENT = {
    "animation",
    "audio",
    "checklist",
    "contact",
    "dice",
    "document",
    "game",
    "giveaway",
    "invoice",
    "location",
}
CONTENT |= {"live_photo", "paid_media", "photo", "poll", "sticker", "story", "venue", "video", "video_note", "voice"}
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@(\w{3,32}))?(?=\s|$)")


@dataclass(frozen=True)
class Me:
    """The bot as the messenger knows it."""

    id: int
    username: str


@dataclass(frozen=True)
class Message:
    """What someone said to the bot.

    Attributes:
        text: without the mention of the bot; None where it is no text.
        command: name and arguments, where it begins with a slash.
        is_edited: said before, and changed.
    """

    chat: int
    thread: int | None
    number: int
    user: int
    language: str | None
    is_private: bool
    text: str | None
    command: tuple[str, str] | None
    is_edited: bool

    @property
    def person(self) -> str:
        return f"telegram:{self.user}"

    @property
    def place(self) -> str:
        return place_called(self.chat, self.thread)


def place_called(chat: int, thread: int | None) -> str:
    """Return what tells conversations apart: the chat, and the thread in it."""
    return f"{chat}/{thread}" if thread else str(chat)


def thread_of(body: Json) -> int | None:
    """Return the thread that a message is in."""
    return body.get("message_thread_id") if body.get("is_topic_message") else None


def incoming_of(update: Json, me: Me) -> Incoming | None:
    """Return what is to be stored of an update; None where it does not concern the bot.

    Raises:
        UpdateError: this is no update.
    """
    number = update.get("update_id")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise UpdateError("an update has a number")
    try:
        found = _concern(update, me)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UpdateError("an update of no known form") from error
    return None if found is None else Incoming(number, str(found[0]), update, f"telegram:{found[1]}")


def message_of(update: Json, me: Me) -> Message | None:
    """Return what was said to the bot in an update; None where nothing was."""
    body = update.get("message", update.get("edited_message"))
    if body is None:
        return None
    chat, user = body["chat"], _sender(body)
    if user is None or chat["type"] == "channel":
        return None
    text = body.get("text")
    if text is None and CONTENT.isdisjoint(body):
        return None
    command = _COMMAND.match(text or "")
    if command is not None and command[2] and command[2].lower() != me.username.lower():
        return None
    is_private = chat["type"] == "private"
    if not is_private and command is None and not _is_addressed(body, me):
        return None
    if text is not None and not is_private and command is None:
        text = _without_mention(text, me)
    return Message(
        chat=int(chat["id"]),
        thread=thread_of(body),
        number=int(body["message_id"]),
        user=user,
        language=body.get("from", {}).get("language_code"),
        is_private=is_private,
        text=text,
        command=None if command is None else (command[1].lower(), text[command.end() :].strip()),
        is_edited="edited_message" in update,
    )


def _concern(update: Json, me: Me) -> tuple[int, int] | None:
    """Return the chat that an update is worked on in order with, and who sent it."""
    if "message" in update or "edited_message" in update:
        message = message_of(update, me)
        return None if message is None else (message.chat, message.user)
    if "callback_query" in update:
        query = update["callback_query"]
        sender = int(query["from"]["id"])
        return int(query.get("message", {}).get("chat", {}).get("id", sender)), sender
    if "message_reaction" in update:
        reaction = update["message_reaction"]
        return (int(reaction["chat"]["id"]), int(reaction["user"]["id"])) if "user" in reaction else None
    if "my_chat_member" in update:
        change = update["my_chat_member"]
        return int(change["chat"]["id"]), int(change["from"]["id"])
    return None


def _sender(body: Json) -> int | None:
    """Return who wrote a message: a person, or the chat that an administrator writes in the name of; no bots."""
    if "sender_chat" in body:
        return None if body.get("is_automatic_forward") else int(body["sender_chat"]["id"])
    sender = body.get("from")
    return None if sender is None or sender.get("is_bot") else int(sender["id"])


def _is_addressed(body: Json, me: Me) -> bool:
    """Tell whether a message in a group replies to the bot, or mentions it."""
    if body.get("reply_to_message", {}).get("from", {}).get("id") == me.id:
        return True
    words = body.get("text") or body.get("caption") or ""
    entities = body.get("entities") or body.get("caption_entities") or []
    if any(entity.get("user", {}).get("id") == me.id for entity in entities):
        return True
    return any(entity["type"] == "mention" for entity in entities) and bool(_mention(me).search(words))


def _without_mention(text: str, me: Me) -> str:
    """Return the text without the bot's name at its beginning or end."""
    name = _mention(me).pattern
    return re.sub(rf"^\s*{name}[\s,:]*|\s*{name}\s*$", "", text, flags=re.IGNORECASE).strip()


def _mention(me: Me) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(me.username)}\b", re.IGNORECASE)
