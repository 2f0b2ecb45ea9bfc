"""Delivery of the outbox in process, the library's requests answered from a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from telegram import Bot
from telegram.request import BaseRequest, RequestData

from bot.messenger.buttons import button_facts
from bot.messenger.delivery import Delivery
from bot.messenger.metrics import Metrics
from bot.messenger.pacing import Pacer, PacingConfig
from bot.messenger.sending import Sender
from bot.messenger.typing_sign import TypingSign
from storage.mailbox import Mailbox
from storage.records import Outgoing
from storage.store import ConversationStore, StorageConfig
from tests.talk import record

OK = (200, {"ok": True, "result": {"message_id": 0, "date": 0, "chat": {"id": 7, "type": "private"}}})


class CannedRequest(BaseRequest):
    """Answers requests from a list, and keeps what was asked; sent messages are numbered from 901."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.answers, self.asked = list(answers), []  # type: tuple[Any, list[tuple[str, dict[str, Any]]]]

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
        assert request_data is not None
        self.asked.append((url.rsplit("/", 1)[1], dict(request_data.parameters)))
        code, answer = self.answers.pop(0)
        if code == 200:
            answer = {**answer, "result": {**answer["result"], "message_id": 900 + len(self.asked)}}
        return code, json.dumps(answer).encode()


def refusal(code: int, description: str) -> tuple[int, dict[str, Any]]:
    return code, {"ok": False, "error_code": code, "description": description}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(StorageConfig(f"sqlite:///{tmp_path / 'talks.db'}"))
    yield opened
    opened.close()


@pytest.fixture
def mailbox(store: ConversationStore) -> Mailbox:
    return store.mailbox(1)


def deliver(mailbox: Mailbox, message: Outgoing, *answers: tuple[int, dict[str, Any]]) -> CannedRequest:
    """Deliver a message, its requests answered by ``answers``."""
    request, metrics = CannedRequest(*answers), Metrics()
    sender = Sender(Pacer(PacingConfig(0, 0, 0)), metrics)

    async def at_once(work: Any, *arguments: Any) -> Any:
        return work(*arguments)

    async def run() -> None:
        bot = Bot("1:token", request=request, get_updates_request=CannedRequest())
        await Delivery(bot, sender, mailbox, metrics, at_once, lambda _: ("a.json", b"{}")).deliver(message)

    asyncio.run(run())
    return request


def test_parts_go_in_order_as_plain_text_with_buttons_under_the_last(mailbox: Mailbox) -> None:
    options = {"buttons": button_facts("another"), "reply_to": 5}
    message = mailbox.post(Outgoing(1, "7", ["<b>one", "two_"], options=options))
    asked = deliver(mailbox, message, OK, OK).asked
    assert [parameters["text"] for _, parameters in asked] == ["<b>one", "two_"]
    assert ["reply_markup" in parameters for _, parameters in asked] == [False, True]
    assert ["reply_parameters" in parameters for _, parameters in asked] == [True, False]
    assert not any("parse_mode" in parameters for _, parameters in asked)
    assert mailbox.unsent() == []


def test_what_a_crash_cut_off_goes_on_with_the_next_part(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["one", "two", "three"]))
    mailbox.record_sent(message, 901)
    asked = deliver(mailbox, mailbox.unsent()[0], OK, OK).asked
    assert [parameters["text"] for _, parameters in asked] == ["two", "three"]


def test_an_edit_that_changes_nothing_is_done(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["same"], options={"edits": 55}))
    asked = deliver(mailbox, message, refusal(400, "Bad Request: message is not modified: same")).asked
    assert [name for name, _ in asked] == ["editMessageText"]
    assert mailbox.unsent() == []


def test_an_edit_that_is_longer_than_a_message_goes_on_in_new_ones(mailbox: Mailbox) -> None:
    options = {"edits": 55, "buttons": button_facts("another")}
    message = mailbox.post(Outgoing(1, "7", ["one", "two"], options=options))
    asked = deliver(mailbox, message, OK, OK).asked
    assert [(name, parameters["text"]) for name, parameters in asked] == [
        ("editMessageText", "one"),
        ("sendMessage", "two"),
    ]
    assert ["reply_markup" in parameters for _, parameters in asked] == [False, True]
    assert mailbox.unsent() == []


def test_buttons_work_in_the_chat_that_a_group_has_moved_to(mailbox: Mailbox, store: ConversationStore) -> None:
    outgoing = Outgoing(1, "-5", ["one", "two"], options={"buttons": button_facts("another")})
    turn, message = store.post_exchange("telegram:-5", "hello", "one two", record(), outgoing, person="telegram:7")
    moved = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat")
    moved[1]["parameters"] = {"migrate_to_chat_id": -1005}
    asked = deliver(mailbox, message, moved, OK, OK).asked
    assert [parameters["chat_id"] for _, parameters in asked] == [-5, -1005, -1005]
    assert turn is not None
    assert [mailbox.turn_of("-1005", number) for number in (902, 903)] == [turn.id] * 2
    assert mailbox.unsent() == []


def test_what_should_stand_in_a_message_that_was_deleted_is_sent_anew(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["other"], options={"edits": 55, "buttons": button_facts("another")}))
    asked = deliver(mailbox, message, refusal(400, "Bad Request: message to edit not found"), OK).asked
    assert [(name, parameters["text"]) for name, parameters in asked] == [
        ("editMessageText", "other"),
        ("sendMessage", "other"),
    ]
    assert mailbox.unsent() == []


def test_who_blocked_the_bot_is_marked_and_not_tried_again(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["one", "two"]))
    asked = deliver(mailbox, message, refusal(403, "Forbidden: bot was blocked by the user")).asked
    assert len(asked) == 1
    assert mailbox.unsent() == []
    assert mailbox.chats(is_reachable=False) == ["7"]


def test_what_is_refused_is_given_up_and_the_chat_stays(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["one"]))
    deliver(mailbox, message, refusal(400, "Bad Request: message is too long"))
    assert mailbox.unsent() == []
    assert mailbox.chats(is_reachable=False) == []


def test_a_file_is_made_when_it_is_sent(mailbox: Mailbox) -> None:
    message = mailbox.post(Outgoing(1, "7", ["all of it"], person="telegram:7", options={"file": True}))
    asked = deliver(mailbox, message, OK).asked
    assert [(name, parameters["caption"]) for name, parameters in asked] == [("sendDocument", "all of it")]


def test_drafts_go_on_after_a_failure_and_end_where_the_server_knows_none() -> None:
    request = CannedRequest(refusal(502, "Bad Gateway"), refusal(404, "Not Found: method not found"))

    async def run() -> list[bool]:
        sign = TypingSign(Bot("1:token", request=request, get_updates_request=CannedRequest()), drafts=True)
        wanted = []
        for _ in range(2):
            await sign._show_draft(7, None, 5)
            wanted.append(sign._drafts)
        return wanted

    assert asyncio.run(run()) == [True, False]


def test_where_many_wait_few_are_shown_the_sign() -> None:
    done = (200, {"ok": True, "result": {}})
    request = CannedRequest(*[done] * 50)

    async def run() -> None:
        sign = TypingSign(Bot("1:token", request=request, get_updates_request=CannedRequest()), drafts=False)
        await asyncio.gather(*(sign._show(chat, None) for chat in range(50)))
        assert [name for name, _ in request.asked] == ["sendChatAction"]
        sign._next_s = 0.0
        await sign._show(7, None)
        assert len(request.asked) == 2, "a moment later the next one is"

    asyncio.run(run())
