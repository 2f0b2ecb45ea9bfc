"""What the messenger knows: people, chats, messages, and one bot. Things happen here, as people do them."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import Any

from tests.emulator.entities import find_entities
from tests.emulator.update_queue import UpdateQueue

Message = dict[str, Any]
BOT_NAME = "emulated_bot"


@dataclass
class Chat:
    """A chat; ``trouble`` is the 403 that the bot gets when it writes there."""

    id: int
    type: str
    title: str
    is_forum: bool = False
    trouble: str | None = None

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"id": self.id, "type": self.type}
        facts["first_name" if self.type == "private" else "title"] = self.title
        return facts | ({"is_forum": True} if self.is_forum else {})


@dataclass
class World:
    """Everything there is. Private chats and basic groups share one message counter, supergroups have their own."""

    bot_id: int
    reads_all: bool = False
    queue: UpdateQueue = field(default_factory=UpdateQueue)
    people: dict[int, dict[str, Any]] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    messages: dict[tuple[int, int], Message] = field(default_factory=dict)
    queries: dict[str, float] = field(default_factory=dict)
    pressed: int = 0
    counters: dict[int, int] = field(default_factory=dict)

    @property
    def bot(self) -> dict[str, Any]:
        return {"id": self.bot_id, "is_bot": True, "first_name": "Emulated", "username": BOT_NAME}

    def add_person(self, user: int, language: str = "en", name: str = "") -> dict[str, Any]:
        """Make a person, and the private chat with the bot."""
        person = self.people[user] = {"id": user, "is_bot": False, "first_name": name or f"Person {user}"}
        if language:
            person["language_code"] = language
        self.chats.setdefault(user, Chat(user, "private", person["first_name"]))
        return person

    def add_chat(self, chat: int, kind: str = "supergroup", title: str = "A group", is_forum: bool = False) -> None:
        self.chats[chat] = Chat(chat, kind, title, is_forum)

    def set_trouble(self, chat: int, trouble: str | None) -> None:
        """Let the bot be blocked, or kicked: every message to the chat is then refused with this text."""
        self.chats[chat].trouble = trouble

    def say(
        self, user: int, text: str, chat: int | None = None, reply_to: int | None = None, thread: int | None = None
    ) -> Message:
        """Let a person send a text."""
        return self.send(user, {"text": text, "entities": find_entities(text)}, chat, reply_to, thread)

    def send(
        self,
        user: int | None,
        content: dict[str, Any],
        chat: int | None = None,
        reply_to: int | None = None,
        thread: int | None = None,
    ) -> Message:
        """Let a person send any content; the fields of a Bot API message. A channel's posts have no sender."""
        place = self._place(user if chat is None else chat)
        message = self._new_message(place, content)
        if user is not None:
            message["from"] = self._person(user)
        if reply_to is not None:
            message["reply_to_message"] = self.messages[place.id, reply_to]
        if thread is not None:
            message |= {"message_thread_id": thread, "is_topic_message": True}
        if self._reaches_bot(place, message):
            self.queue.add("channel_post" if place.type == "channel" else "message", copy.deepcopy(message))
        return message

    def edit(self, chat: int, message_id: int, text: str) -> Message:
        """Let a person edit a text that they sent."""
        message = self.messages[chat, message_id]
        message |= {"text": text, "entities": find_entities(text), "edit_date": int(time.time())}
        if self._reaches_bot(self.chats[chat], message):
            kind = "edited_channel_post" if self.chats[chat].type == "channel" else "edited_message"
            self.queue.add(kind, copy.deepcopy(message))
        return message

    def press(self, user: int, chat: int, message_id: int, data: str) -> str:
        """Let a person press a button, or pretend to."""
        self.pressed += 1
        query = str(9_000_000_000 + self.pressed)
        self.queries[query] = time.monotonic()
        message = copy.deepcopy(self.messages.get((chat, message_id)))
        if message is None:
            message = {"message_id": message_id, "date": 0, "chat": self.chats[chat].facts()}
        callback = {"id": query, "from": self._person(user), "message": message, "chat_instance": "1", "data": data}
        self.queue.add("callback_query", callback)
        return query

    def react(self, user: int, chat: int, message_id: int, emoji: str | None) -> None:
        """Let a person react to a message, or take the reaction back."""
        new = [] if emoji is None else [{"type": "emoji", "emoji": emoji}]
        reaction = {"user": self._person(user), "message_id": message_id, "date": int(time.time())}
        reaction |= {"chat": self._place(chat).facts(), "old_reaction": [], "new_reaction": new}
        self.queue.add("message_reaction", reaction)

    def set_membership(self, user: int, chat: int, status: str) -> None:
        """Let a person block or unblock the bot, add it to a group or remove it."""
        place = self._place(chat)
        gone = {"kicked": "bot was blocked by the user", "left": "bot was kicked from the group chat"}
        place.trouble = gone.get(status)
        new: dict[str, Any] = {"status": status, "user": self.bot}
        if status == "kicked":
            new["until_date"] = 0
        change = {"chat": place.facts(), "from": self._person(user), "date": int(time.time())}
        change |= {"old_chat_member": {"status": "member", "user": self.bot}, "new_chat_member": new}
        self.queue.add("my_chat_member", change)

    def raw(self, kind: str, body: dict[str, Any]) -> int | None:
        """Queue an update as it is given."""
        return self.queue.add(kind, body)

    def write(self, place: Chat, content: dict[str, Any]) -> Message:
        """Let the bot send a message."""
        message = self._new_message(place, content)
        if place.type != "channel":
            message["from"] = self.bot
        return message

    def shown(self, chat: int) -> list[Message]:
        """Return the messages of a chat, oldest first."""
        return [message for (place, _), message in sorted(self.messages.items()) if place == chat]

    def _new_message(self, place: Chat, content: dict[str, Any]) -> Message:
        counter = place.id if place.type in ("supergroup", "channel") else 0
        number = self.counters[counter] = self.counters.get(counter, 0) + 1
        facts = {"message_id": number, "date": int(time.time()), "chat": place.facts()}
        message = self.messages[place.id, number] = facts | {key: value for key, value in content.items() if value}
        return message

    def _place(self, chat: int | None) -> Chat:
        assert chat is not None, "a message needs a chat"
        if chat not in self.chats:
            if chat > 0:
                self.add_person(chat)
            else:
                self.add_chat(chat)
        return self.chats[chat]

    def _person(self, user: int) -> dict[str, Any]:
        return self.people.get(user) or self.add_person(user)

    def _reaches_bot(self, place: Chat, message: Message) -> bool:
        """Tell whether privacy mode lets a message through: commands, replies to the bot, and service messages."""
        if place.type in ("private", "channel") or self.reads_all:
            return True
        if message.get("reply_to_message", {}).get("from", {}).get("id") == self.bot_id:
            return True
        text = message.get("text")
        if text is None:
            return not any(key in message for key in ("photo", "sticker", "voice", "document", "video", "audio"))
        if not text.startswith("/"):
            return False
        addressee = text.split(maxsplit=1)[0].partition("@")[2]
        return addressee.lower() in ("", BOT_NAME)
