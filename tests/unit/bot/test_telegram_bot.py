"""The bot's life in process, against a server that answers by the name of the method."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from telegram import Bot
from telegram.error import NetworkError
from telegram.request import BaseRequest, RequestData

from bot.dialogue import DialogueManager
from bot.engine import Reply, ReplyRequest
from bot.settings import TelegramSettings
from bot.telegram_bot import TelegramBot
from seq2seq.registry import Registry
from storage.store import ConversationStore, StorageConfig
from tests.fakes import FixedSlot, ScriptedEngine

BOT = {"id": 1, "is_bot": True, "first_name": "B", "username": "a_bot"}
JAM = "CREATE TRIGGER jam BEFORE INSERT ON outbox WHEN new.parts LIKE '%a lot at once%' BEGIN {} END"


class Server(BaseRequest):
    """Has one batch of updates, takes every message, knows no webhooks, and refuses once what ``refused`` names."""

    def __init__(self, *updates: dict[str, Any]) -> None:
        self.updates = list(updates)
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.refused: list[str] = []

    @property
    def read_timeout(self) -> float | None:
        return 1.0

    async def initialize(self) -> None:
        return None

    async def shutdown(self) -> None:
        return None

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *args: Any, **kwargs: Any
    ) -> tuple[int, bytes]:
        name = url.rsplit("/", 1)[1].lower()
        self.asked.append(name)
        await asyncio.sleep(0)
        if name == "setwebhook":
            raise NetworkError("down")
        if name in self.refused:
            self.refused.remove(name)
            return 400, b'{"ok": false, "error_code": 400, "description": "Bad Request: no"}'
        result: Any = True
        if name == "getme":
            result = BOT
        elif name == "getupdates":
            result, self.updates = self.updates, []
            await asyncio.sleep(0 if result else 0.05)
        elif name == "sendmessage":
            assert request_data is not None
            self.sent.append(str(request_data.parameters["text"]))
            result = {"message_id": 100 + len(self.sent), "date": 0, "chat": {"id": 7, "type": "private"}}
        return 200, json.dumps({"ok": True, "result": result}).encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield opened
    opened.close()


class PatientEngine(ScriptedEngine):
    """Replies once the server was asked for updates again: all that it had is taken in then."""

    def __init__(self, server: Server, *replies: str) -> None:
        super().__init__(*replies)
        self._server = server

    def reply(self, request: ReplyRequest) -> Reply:
        while self._server.asked.count("getupdates") < 2:
            time.sleep(0.01)
        return super().reply(request)


def bot_at(
    server: Server, store: ConversationStore, refresh: Callable[[], bool] = lambda: False, **settings: Any
) -> TelegramBot:
    slot: Any = FixedSlot(PatientEngine(server, *"abcde"))
    slot.refresh = refresh
    bot = Bot("1:token", request=server, get_updates_request=server)
    lifted = {"chat_interval_s": 0, "per_second": 0, **settings}
    nowhere = Path("nowhere")
    settings = TelegramSettings(**lifted)
    return TelegramBot(bot, DialogueManager(slot, store), slot, Registry(nowhere), nowhere, settings)


def said(number: int) -> dict[str, Any]:
    who = {"from": {"id": 7, "is_bot": False}, "chat": {"id": 7, "type": "private"}}
    return {"update_id": number, "message": {"message_id": number, "text": f"message {number}", **who}}


def test_a_message_that_cannot_be_refused_is_answered_and_holds_up_no_other(store: ConversationStore) -> None:
    with store._session(writes=True) as session:
        session.execute(text(JAM.format("SELECT RAISE(ABORT, 'jammed');")))
    server, mailbox = Server(*map(said, range(1, 6))), store.mailbox(1)

    async def run() -> None:
        bot = bot_at(server, store, max_waiting=1)
        running = asyncio.create_task(bot.run())
        async with asyncio.timeout(30):
            while server.updates or "sendmessage" not in server.asked or mailbox.backlog() != (0, 0):
                await asyncio.sleep(0.05)
            bot.stop()
            await running

    asyncio.run(run())
    assert server.sent == ["a", "b"]
    assert [turn.text for turn in store.turns("telegram:7")] == ["message 1", "a", "message 2", "b"]


def test_what_fails_in_the_background_is_logged_once_without_its_words_and_tried_again(
    store: ConversationStore, caplog: pytest.LogCaptureFixture
) -> None:
    server, refreshes = Server(), iter((OSError("what somebody said"),))
    server.refused.append("setmycommands")

    def refresh() -> bool:
        for error in refreshes:
            raise error
        return False

    async def run() -> None:
        bot = bot_at(server, store, refresh=refresh)
        running = asyncio.create_task(bot.run())
        async with asyncio.timeout(30):
            while server.asked.count("setmycommands") < 3 or "OSError" not in caplog.text:
                await asyncio.sleep(0.05)
            bot.stop()
            await running

    asyncio.run(run())
    refused, failed = sorted(record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert "BotError: Telegram refuses setMyCommands" in refused
    assert "OSError at test_telegram_bot.py:" in failed
    assert "what somebody said" not in caplog.text


def test_a_flood_is_refused_in_few_commits(store: ConversationStore) -> None:
    """One a message takes minutes on a slow disk, while polling waits."""
    server, mailbox = Server(*map(said, range(1, 101))), store.mailbox(1)
    commits: list[Connection] = []

    @event.listens_for(store._database.engine, "commit")
    def take_time(connection: Connection) -> None:
        if connection.get_execution_options().get("backchat_writes"):
            commits.append(connection)
            time.sleep(0.05)

    async def run() -> None:
        bot = bot_at(server, store, max_waiting=1)
        running = asyncio.create_task(bot.run())
        async with asyncio.timeout(60):
            while len(server.sent) < 2 or mailbox.backlog() != (0, 0):
                await asyncio.sleep(0.05)
            bot.stop()
            await running

    asyncio.run(run())
    assert [turn.text for turn in store.turns("telegram:7")] == ["message 1", "a"]
    assert sorted(words.partition(" at once")[0] for words in server.sent) == ["That was a lot", "a"]
    assert len(commits) < 60


def test_a_stop_is_heard_while_the_webhook_cannot_be_set(store: ConversationStore) -> None:
    server = Server()

    async def run() -> None:
        bot = bot_at(server, store, webhook_url="https://bot.example.org/updates", port=0)
        running = asyncio.create_task(bot.run())
        async with asyncio.timeout(30):
            while "setwebhook" not in server.asked:
                await asyncio.sleep(0.05)
            bot.stop()
            await running

    asyncio.run(run())
