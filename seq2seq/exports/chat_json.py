"""Chat exports in JSON: what they hold is told from their keys, and read in one pass in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import IO, Any, NamedTuple

from seq2seq.dialogues import Dialogue
from seq2seq.exports import discord_json, meta_json, telegram_json
from seq2seq.exports.json_stream import JsonStream
from seq2seq.exports.notes import ODD, ChatMessage, ChatNotes, NotAChatError, People, listed
from seq2seq.exports.sessions import dialogues_of
from seq2seq.lines import BadLines

_HEADER_KEYS = ("name", "type", "id", "channel", "participants", "guild")  # of a chat, before its messages
_ACCOUNT_KEYS = ("chats", "left_chats")  # of a whole Telegram account; each has its chats under "list"


class _Kind(NamedTuple):
    """A messenger's list of messages: how to tell it, and how to read it."""

    source: str
    what: str
    is_message: Callable[[Mapping[str, Any]], bool]
    read_messages: Callable[[Iterable[Any], Mapping[str, Any], People, ChatNotes], Iterator[ChatMessage]]


_KINDS = (
    _Kind(telegram_json.SOURCE, "Telegram chat", telegram_json.is_message, telegram_json.read_messages),
    _Kind(discord_json.SOURCE, "Discord channel", discord_json.is_message, discord_json.read_messages),
    _Kind(meta_json.SOURCE, "Instagram or Messenger thread", meta_json.is_message, meta_json.read_messages),
)


def read_chat_json(stream: IO[bytes], name: str, bad: BadLines) -> Iterator[Dialogue]:
    """Read Telegram's ``result.json`` (one chat, or an account), DiscordChatExporter, Instagram or Messenger.

    Raises:
        NotAChatError: it is none of these.
        CorpusError: it is damaged.
    """
    reading = _Reading(JsonStream(stream, name), name, ChatNotes.of(bad))
    return reading.dialogues()


class _Reading:
    def __init__(self, json: JsonStream, name: str, notes: ChatNotes) -> None:
        self._json, self._name, self._notes = json, name, notes
        self._people = People()

    def dialogues(self) -> Iterator[Dialogue]:
        start = self._json.peek()
        if start != "{":
            looks = {"": "is empty", "[": "is a JSON list"}.get(start, "is no JSON object")
            raise self._unknown(looks)
        yield from self._chat(is_account=True)
        self._json.end()

    def _chat(self, *, is_account: bool) -> Iterator[Dialogue]:
        """Read an object with ``messages``, or one with chats."""
        header: dict[str, Any] = {}
        keys: list[str] = []
        found = False
        for key in self._json.fields():
            start = self._json.peek()
            if key == "messages" and start == "[":
                found = True
                yield from self._messages(header)
            elif is_account and key in _ACCOUNT_KEYS and start == "{":
                found = True
                self._notes.read_as(telegram_json.SOURCE, "Telegram account")
                yield from self._chats()
            elif key in _HEADER_KEYS:
                header[key] = self._json.value()
            else:
                self._json.skip()
            if len(keys) < 100:
                keys.append(key)
        if not found and is_account:
            raise self._unknown(
                f"is a JSON object with the keys {listed(keys)}" if keys else "is an empty JSON object"
            )

    def _chats(self) -> Iterator[Dialogue]:
        for key in self._json.fields():
            if key == "list" and self._json.peek() == "[":
                for _ in self._json.items():
                    if self._json.peek() == "{":
                        yield from self._chat(is_account=False)
                    else:
                        self._json.skip()
            else:
                self._json.skip()

    def _messages(self, header: Mapping[str, Any]) -> Iterator[Dialogue]:
        """Read a list of messages, in the format of the first that is of a known one."""
        notes, values = self._notes, self._json.values()
        for first in values:
            found = next((kind for kind in _KINDS if isinstance(first, dict) and kind.is_message(first)), None)
            if found is None:
                notes.skipped[ODD] += 1
                continue
            notes.read_as(found.source, found.what)
            messages = found.read_messages(chain([first], values), header, self._people, notes)
            yield from dialogues_of(messages, found.source, notes)
            return

    def _unknown(self, looks: str) -> NotAChatError:
        return NotAChatError(
            f"{self._name}: {looks}, which is no chat export. Known are Telegram Desktop's result.json (choose "
            "JSON when exporting), DiscordChatExporter's JSON, and message_1.json of Instagram or Messenger"
        )
