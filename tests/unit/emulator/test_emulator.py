"""The stand-in server keeps the real server's rules; python-telegram-bot is the client of most tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter

from tests.emulator.client import EmulatorClient, wait_for

R = TypeVar("R")
ADA, GROUP = 1001, -100500


@pytest.fixture
def server() -> Iterator[EmulatorClient]:
    with EmulatorClient() as server:
        server.do("add_person", user=ADA)
        yield server


def ask(server: EmulatorClient, use: Callable[[Bot], Awaitable[R]], token: str | None = None) -> R:
    """Run a client of the library against the server."""

    async def run() -> R:
        async with Bot(token or server.token, server.base_url, server.base_file_url) as bot:
            return await use(bot)

    return asyncio.run(run())


def test_library_takes_what_the_server_says_of_itself(server: EmulatorClient) -> None:
    me = ask(server, lambda bot: bot.get_me())
    assert (me.username, me.can_read_all_group_messages) == ("emulated_bot", False)


def test_updates_come_again_until_an_offset_beyond_them(server: EmulatorClient) -> None:
    for text in ("one", "two", "three"):
        server.say(ADA, text)

    async def poll(bot: Bot) -> list[list[str]]:
        first = await bot.get_updates()
        again = await bot.get_updates(offset=first[0].update_id)
        rest = await bot.get_updates(offset=first[1].update_id + 1)
        last = await bot.get_updates(offset=-1)
        return [[str(update.message and update.message.text) for update in got] for got in (first, again, rest, last)]

    assert ask(server, poll) == [["one", "two", "three"], ["one", "two", "three"], ["three"], ["three"]]


def test_a_long_poll_ends_with_the_next_update(server: EmulatorClient) -> None:
    timer = threading.Timer(0.3, lambda: server.say(ADA, "late"))
    timer.start()
    started = time.monotonic()
    answer = server.call("getUpdates", timeout=30)
    timer.join()
    assert [update["message"]["text"] for update in answer["result"]] == ["late"]
    assert 0.2 < time.monotonic() - started < 10


def test_a_busy_loop_is_slowed_down(server: EmulatorClient) -> None:
    server.call("getUpdates", offset=5)
    started = time.monotonic()
    assert server.call("getUpdates", offset=5)["result"] == []
    assert time.monotonic() - started > 2.5


def test_the_older_of_two_pollers_gets_the_conflict(server: EmulatorClient) -> None:
    async def fight(bot: Bot) -> tuple[Any, ...]:
        async with Bot(server.token, server.base_url) as rival:
            older = asyncio.create_task(bot.get_updates(timeout=20))
            await asyncio.sleep(0.3)
            newer = asyncio.create_task(rival.get_updates(timeout=20))
            with pytest.raises(Conflict, match="terminated by other getUpdates request"):
                await older
            server.say(ADA, "for the newer")
            return await newer

    assert len(ask(server, fight)) == 1


def test_types_not_asked_for_are_never_sent(server: EmulatorClient) -> None:
    server.do("add_chat", chat=GROUP)
    number = server.say(ADA, "hi")
    server.do("react", user=ADA, chat=ADA, message_id=number, emoji="👍")
    server.call("getUpdates", allowed_updates=["message", "message_reaction"])
    server.do("react", user=ADA, chat=ADA, message_id=number, emoji="👎")
    answer = server.call("getUpdates", offset=1)
    assert [[*update][1] for update in answer["result"]] == ["message", "message_reaction"]


def test_a_refused_token_and_an_unknown_method_are_told_apart(server: EmulatorClient) -> None:
    with pytest.raises(InvalidToken):
        ask(server, lambda bot: bot.get_me(), token="1:wrong")
    assert server.call("getMe", token="1:wrong")["error_code"] == 401
    assert server.call("getMe", token="nonsense")["error_code"] == 404
    assert server.call("sendNonsense")["description"] == "Not Found: method not found"


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        (" \n ", None, "message text is empty"),
        ("a" * 4097, None, "message is too long"),
        ("é" * 16385, None, "text is too long"),
        ("1 < 2", "HTML", "can't parse entities: Unclosed start tag at byte offset 2"),
        ("<x>", "HTML", 'can\'t parse entities: Unsupported start tag "x" at byte offset 0'),
        ("<b>x", "HTML", "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
        ("Hi.", "MarkdownV2", "can't parse entities: Character '.' is reserved and must be escaped"),
        ("some text_", "MarkdownV2", "can't parse entities: Can't find end of Italic entity at byte offset 9"),
    ],
)
def test_texts_are_refused_with_the_servers_words(
    server: EmulatorClient, text: str, mode: str | None, problem: str
) -> None:
    answer = server.call("sendMessage", chat_id=ADA, text=text, **({"parse_mode": mode} if mode else {}))
    assert answer["error_code"] == 400
    assert answer["description"].startswith(f"Bad Request: {problem}")


def test_4096_code_points_are_taken(server: EmulatorClient) -> None:
    assert ask(server, lambda bot: bot.send_message(ADA, "𝄞" * 4096)).text == "𝄞" * 4096


def test_a_message_that_would_not_change_is_refused(server: EmulatorClient) -> None:
    async def edit(bot: Bot) -> None:
        message = await bot.send_message(ADA, "same")
        with pytest.raises(BadRequest, match="Message is not modified"):
            await bot.edit_message_text("same", ADA, message.message_id)
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("a", callback_data="a")]])
        await bot.edit_message_text("same", ADA, message.message_id, reply_markup=keyboard)
        with pytest.raises(BadRequest, match="Message to edit not found"):
            await bot.edit_message_text("x", ADA, 999)

    ask(server, edit)


def test_a_pressed_button_is_answered_once(server: EmulatorClient) -> None:
    number = server.say(ADA, "hi")
    query = server.do("press", user=ADA, chat=ADA, message_id=number, data="x")
    assert server.call("answerCallbackQuery", callback_query_id=query)["ok"]
    assert "query is too old" in server.call("answerCallbackQuery", callback_query_id=query)["description"]


def test_who_blocked_the_bot_gets_nothing(server: EmulatorClient) -> None:
    server.do("set_trouble", chat=ADA, trouble="bot was blocked by the user")
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        ask(server, lambda bot: bot.send_message(ADA, "hi"))
    with pytest.raises(BadRequest, match="Chat not found"):
        ask(server, lambda bot: bot.send_message(77, "hi"))


def test_privacy_mode_lets_through_commands_and_replies_only(server: EmulatorClient) -> None:
    server.do("add_chat", chat=GROUP)
    own = server.call("sendMessage", chat_id=GROUP, text="mine")["result"]["message_id"]
    for text in ("talk", "hello @emulated_bot", "/help", "/help@emulated_bot", "/help@other_bot"):
        server.say(ADA, text, chat=GROUP)
    server.say(ADA, "an answer", chat=GROUP, reply_to=own)
    answer = server.call("getUpdates", offset=1)
    assert [update["message"]["text"] for update in answer["result"]] == ["/help", "/help@emulated_bot", "an answer"]


def test_supergroups_count_their_messages_by_themselves(server: EmulatorClient) -> None:
    server.do("add_chat", chat=GROUP)
    assert [server.say(ADA, "a"), server.say(1002, "b"), server.say(ADA, "c", chat=GROUP)] == [1, 2, 1]


def test_limits_refuse_the_second_message_of_a_second_and_early_repetition(server: EmulatorClient) -> None:
    server.do("configure", limits=True)

    async def hurry(bot: Bot) -> int:
        await bot.send_message(ADA, "one")
        with pytest.raises(RetryAfter) as refusal:
            await bot.send_message(ADA, "two")
        with pytest.raises(RetryAfter):
            await bot.send_message(ADA, "two")
        return int(refusal.value._retry_after.total_seconds())

    assert ask(server, hurry) == 1
    assert server.do("state")["early"] == 1


def test_faults_are_drawn_by_their_seed(server: EmulatorClient) -> None:
    def pattern() -> list[bool]:
        server.do("set_faults", seed=7, bad_gateway=0.5)
        return [bool(server.call("getMe")["ok"]) for _ in range(12)]

    assert pattern() == pattern()
    assert len(set(pattern())) == 2


def test_a_dropped_answer_leaves_the_message_there(server: EmulatorClient) -> None:
    server.do("set_faults", dropped_after=1.0, methods=["sendMessage"])
    with pytest.raises(NetworkError):
        ask(server, lambda bot: bot.send_message(ADA, "there"))
    assert [message["text"] for message in server.shown(ADA)] == ["there"]


def test_a_webhook_gets_each_update_with_the_secret_until_it_takes_it(server: EmulatorClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        seen: list[bytes] = []

        def receive() -> None:
            for answer in (b"500 Oops", b"200 OK"):
                peer, _ = listener.accept()
                with peer:
                    data = b""
                    while b'"update_id"' not in data or not data.rstrip().endswith(b"}"):
                        data += peer.recv(65536)
                    seen.append(data)
                    peer.sendall(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=receive)
        thread.start()
        assert server.call("setWebhook", url=f"http://127.0.0.1:{port}/x", secret_token="s3cret")["ok"]
        server.say(ADA, "hi")
        thread.join(20)
    assert len(seen) == 2
    assert all(b"x-telegram-bot-api-secret-token: s3cret" in request.lower() for request in seen)
    wait_for(lambda: server.do("state")["waiting"] == 0, "the update is taken")
    assert server.call("getUpdates")["error_code"] == 409


def test_bad_secrets_and_commands_are_refused(server: EmulatorClient) -> None:
    assert not server.call("setWebhook", url="https://x", secret_token="no blanks")["ok"]
    commands = [{"command": "Bad", "description": "x"}]
    assert server.call("setMyCommands", commands=commands)["description"] == "Bad Request: BOT_COMMAND_INVALID"
