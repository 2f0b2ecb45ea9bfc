"""What updates come to, in process: an engine of the script's, a real memory, nothing sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.dialogue import DialogueManager, Wishes
from bot.messenger import buttons
from bot.messenger.access import Access
from bot.messenger.commands import Desk
from bot.messenger.handlers import Handlers
from bot.messenger.intake import Me, incoming_of
from bot.messenger.metrics import Metrics
from seq2seq.registry import Registry
from storage.errors import StorageError
from storage.mailbox import Mailbox
from storage.records import Incoming, Outgoing
from storage.store import ConversationStore, StorageConfig
from tests.fakes import FixedSlot, ScriptedEngine

ME = Me(1, "a_bot")
ADMIN, BOB = 9, 7


class Chat:
    """Bob's private chat with the bot; every message that the bot posts counts as sent at once."""

    def __init__(
        self, store: ConversationStore, home: Path, engine: ScriptedEngine, wishes: Wishes | None, bot: int
    ) -> None:
        slot: Any = FixedSlot(engine)
        self.store = store
        dialogue, metrics = DialogueManager(slot, store, wishes=wishes), Metrics()
        self.mailbox: Mailbox = store.mailbox(bot)
        desk = Desk(store, self.mailbox, slot, Registry(home), metrics, home / "runs")
        access = Access(admins=[ADMIN])
        self._handlers = Handlers(
            ME, dialogue, slot, self.mailbox, access, metrics, desk, lambda message: None, has_buttons=True
        )
        self._updates = 0

    def say(self, text: str, *, number: int | None = None, user: int = BOB, kind: str = "message") -> Outgoing:
        """Let a message come, or an edited one of this number."""
        sender = {"id": user, "is_bot": False}
        chat = {"id": user, "type": "private"}
        return self._handle(
            {kind: {"message_id": number or self._updates, "from": sender, "chat": chat, "text": text}}
        )

    def press(self, button: str, number: int) -> Outgoing:
        message = {"message_id": number, "chat": {"id": BOB}}
        return self._handle({"callback_query": {"id": "1", "from": {"id": BOB}, "message": message, "data": button}})

    def again(self) -> Outgoing:
        """Let the bot take up what it left, as after a start."""
        (incoming,) = self.mailbox.waiting()
        return self._do(incoming)

    def _handle(self, update: dict[str, Any]) -> Outgoing:
        self._updates += 1
        incoming = incoming_of({"update_id": self._updates, **update}, ME)
        assert incoming is not None
        self.mailbox.receive([incoming])
        return self._do(incoming)

    def _do(self, incoming: Incoming) -> Outgoing:
        outgoing = self._handlers.handle(incoming).outgoing
        assert outgoing is not None
        return self.mailbox.record_sent(outgoing, 100 + self._updates)


@pytest.fixture
def open_chat(tmp_path: Path) -> Iterator[Callable[..., Chat]]:
    store = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield lambda engine, wishes=None, bot=1: Chat(store, tmp_path, engine, wishes, bot)
    store.close()


def test_another_reply_is_made_with_the_settings_of_its_chat(open_chat: Callable[..., Chat]) -> None:
    engine = ScriptedEngine("one", "two")
    chat = open_chat(engine)
    chat.say("/set temperature 1.5")
    chat.say("/seed 5")
    sent = chat.say("hello").sent[0]
    assert chat.press(buttons.ANOTHER, sent).parts == ("two",)
    assert [(r.decoding and r.decoding.temperature, r.seed) for r in engine.requests] == [(1.5, 5), (1.5, 6)]


def test_a_bot_with_a_fixed_seed_makes_other_replies_with_other_seeds(open_chat: Callable[..., Chat]) -> None:
    engine = ScriptedEngine("one", "two", "three")
    chat = open_chat(engine, Wishes(seed=5))
    sent = chat.say("hello").sent[0]
    chat.press(buttons.ANOTHER, sent)
    chat.say("/retry")
    assert [request.seed for request in engine.requests] == [5, 6, 7]


def test_a_seed_that_the_bot_began_with_is_shown_and_freed_as_any_other(open_chat: Callable[..., Chat]) -> None:
    engine = ScriptedEngine("one", "two", "three")
    chat = open_chat(engine, Wishes(seed=5))
    assert chat.say("/seed").parts == ("Seed 5 for each reply.",)
    chat.say("hello")
    assert chat.say("/seed random").parts == ("A new seed for each reply.",)
    sent = chat.say("hello").sent[0]
    chat.press(buttons.ANOTHER, sent)
    assert [request.seed for request in engine.requests] == [5, None, None]


def test_a_doubled_slash_is_a_message_that_begins_with_one_when_it_is_edited_too(
    open_chat: Callable[..., Chat],
) -> None:
    engine = ScriptedEngine("one", "two")
    chat = open_chat(engine)
    chat.say("//this", number=40)
    chat.say("//that", number=40, kind="edited_message")
    assert engine.contexts == [["/this"], ["/that"]]


def test_a_remade_reply_that_is_longer_than_a_message_is_whole(open_chat: Callable[..., Chat]) -> None:
    chat = open_chat(ScriptedEngine("short", "long " * 1000))
    sent = chat.say("helo", number=40).sent[0]
    remade = chat.say("hello", number=40, kind="edited_message")
    assert remade.options["edits"] == sent
    assert " ".join(remade.parts) == ("long " * 1000).strip()


def test_another_bot_goes_on_in_the_conversation_although_its_messages_have_the_same_numbers(
    open_chat: Callable[..., Chat],
) -> None:
    engine = ScriptedEngine("one", "two", "three")
    open_chat(engine).say("hello", number=40)
    chat = open_chat(engine, bot=2)
    chat.say("and you?", number=40)
    assert chat.say("/history").parts == ("you: hello\nbot: one\nyou: and you?\nbot: two",)
    chat.say("and who are you?", number=40, kind="edited_message")
    assert chat.say("/history").parts == ("you: hello\nbot: one\nyou: and who are you?\nbot: three",)


def test_an_edit_that_was_cut_off_before_its_answer_is_stored_once(
    open_chat: Callable[..., Chat], tmp_path: Path
) -> None:
    engine = ScriptedEngine("one", "two", "three")
    chat = open_chat(engine)
    chat.say("helo")
    with closing(sqlite3.connect(tmp_path / "talks.db")) as database:
        database.execute("CREATE TRIGGER jam BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'jammed'); END")
    with pytest.raises(StorageError):
        chat.say("/edit hello")
    with closing(sqlite3.connect(tmp_path / "talks.db")) as database:
        database.execute("DROP TRIGGER jam")
    assert chat.again().parts == ("three",)
    assert engine.contexts == [["helo"], ["hello"], ["hello"]]
    assert [turn.text for turn in chat.store.turns("telegram:7")] == ["helo", "one", "hello", "three"]
    assert chat.say("/history").parts == ("you: hello\nbot: three",)


def test_an_edit_before_all_messages_says_so(open_chat: Callable[..., Chat]) -> None:
    assert open_chat(ScriptedEngine()).say("/edit hello").parts == ("there is no message of yours yet",)


def test_an_admin_who_names_no_model_promotes_none(open_chat: Callable[..., Chat], tmp_path: Path) -> None:
    assert open_chat(ScriptedEngine()).say("/promote", user=ADMIN).parts == ("/promote MODEL",)
    assert Registry(tmp_path).current() is None
